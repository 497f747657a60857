package topics

import "time"

// IndexAtMost has all indexes together keep so many subscriptions.
func (t *Topics) IndexAtMost(n int) { t.indexes.most = n }

// AuditEvery has the auditor pause so long at least between its rounds; to be
// said before Run.
func (t *Topics) AuditEvery(d time.Duration) { t.auditing = d }
