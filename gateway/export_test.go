package gateway

import "github.com/fanfare-gateway/fanfare/queue"

// ChangeStore lets a test give the store a broken disk.
func (o *Options) ChangeStore(change func(*queue.Options)) { o.store = change }
