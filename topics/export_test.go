package topics

// IndexAtMost has all indexes together keep so many subscriptions.
func (t *Topics) IndexAtMost(n int) { t.indexes.most = n }
