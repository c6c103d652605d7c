package store

// Was is the node as it was; nil of nil.
func (f *Former) Was() *Before {
	if f == nil {
		return nil
	}
	return &f.Before
}
