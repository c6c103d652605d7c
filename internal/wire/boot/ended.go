package boot

// PathEnded is init's answer to how a process ended whose parent it became: GET PathEnded + its number.
const PathEnded = "/v1/ended/"

// Ended is how it ended.
type Ended struct {
	Code int `json:"code"` // 128+n after signal n
}
