package filter

// Looked is how many branches of policies a match looks at.
func (x *Index) Looked(m *Message) int { return x.match(m, func(ID) bool { return true }) }
