package mirror

// Role is what a device is to a filesystem that is made whole again.
type Role string

// The roles.
const (
	Kept  Role = "kept"  // it is on the disk that has all
	Joins Role = "joins" // it is on the disk that is to have all
	Gone  Role = "gone"  // it is missing, or on a disk that is not to be a part of the mirror any more
)

// Member is one device of a filesystem.
type Member struct {
	ID   uint64
	Role Role
}

// Verb is what is done to a filesystem.
type Verb string

// The verbs.
const (
	Add     Verb = "add"     // the new disk's device is not its own yet
	Remove  Verb = "remove"  // what lay on a device that is gone is written to the new one, from the kept one
	Convert Verb = "convert" // what was written while one device was missing lies on one: it is written to both
	Whole   Verb = "whole"   // nothing is left to be done
)

// Step is the next one.
type Step struct {
	Do Verb
	ID uint64 // of Remove
}

// Next is what a filesystem lacks, by what it is now: cut off anywhere and asked again, it goes on where it was.
func Next(devices []Member, mirrored bool) Step {
	added := false
	var gone *Member
	for i, d := range devices {
		switch {
		case d.Role == Joins:
			added = true
		case d.Role == Gone && gone == nil:
			gone = &devices[i]
		}
	}
	switch {
	case !added:
		return Step{Do: Add}
	case gone != nil:
		return Step{Do: Remove, ID: gone.ID}
	case !mirrored:
		return Step{Do: Convert}
	}
	return Step{Do: Whole}
}
