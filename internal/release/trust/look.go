package trust

import (
	"context"
	"time"
)

// State is what a machine keeps of both repositories between two looks. Its owner writes it durably, apart from what an update replaces.
type State struct {
	Image    Kept `json:"image,omitzero"`
	Director Kept `json:"director,omitzero"`
}

// Anchors are how both repositories are known.
type Anchors struct{ Image, Director Anchor }

// View is what both say.
type View struct {
	Image, Director Repo
	Agreed          []Target // the files that both name alike, by path
}

// Expires is when the first of all metadata ends.
func (v View) Expires() time.Time {
	if v.Director.Expires.Before(v.Image.Expires) {
		return v.Director.Expires
	}
	return v.Image.Expires
}

// Look looks at both repositories and says on what they agree. What is returned to be kept is never older than kept, also after a failure.
func Look(ctx context.Context, image, director Source, a Anchors, kept State, now time.Time) (v View, next State, err error) {
	next = kept
	if v.Image, next.Image, err = Refresh(ctx, image, a.Image, kept.Image, now); err != nil {
		return v, next, err
	}
	if v.Director, next.Director, err = Refresh(ctx, director, a.Director, kept.Director, now); err != nil {
		return v, next, err
	}
	v.Agreed, err = Agree(v.Image, v.Director)
	return v, next, err
}
