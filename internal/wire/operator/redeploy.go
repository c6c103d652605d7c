package operator

import "hardnode.dev/internal/wire"

// RedeployEnvironment is which layers' nodes are made anew, and from which images.
type RedeployEnvironment struct {
	Layers []RedeployLayer `json:"layers" required:"true" minItems:"1" maxItems:"20"`
}

// RedeployLayer is a layer whose nodes are made anew from an image; volumes, variables and the files that are listed stay.
type RedeployLayer struct {
	Name     wire.LayerName    `json:"name" required:"true"`
	Template wire.TemplateName `json:"template,omitempty" doc:"Another template, or another tag; left out: the layer's own, which may stand for another image by now"`
}

// UndoRedeploy asks for what the last redeploys of an environment's layers made anew, as it was before: images, and nodes' own files.
type UndoRedeploy struct {
	Volumes bool `json:"volumes,omitempty" doc:"What nodes have in volumes, too; else that stays as it is"`
}

// Redeployed is the last redeploy of a layer: nodes that are of an earlier one are to be made anew.
type Redeployed struct {
	Number  int64 `json:"number" doc:"Grows with each"`
	Back    bool  `json:"back,omitempty" doc:"It undid the one before: nodes are again what they were before that"`
	Volumes bool  `json:"volumes,omitempty" doc:"With what was in their volumes"`
}

// Undoes tells whether it undid the redeploy before. Nil does not.
func (r *Redeployed) Undoes() bool { return r != nil && r.Back }
