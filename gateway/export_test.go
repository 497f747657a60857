package gateway

import (
	"github.com/fanfare-gateway/fanfare/config"
	"github.com/fanfare-gateway/fanfare/queue"
	"github.com/fanfare-gateway/fanfare/topics"
)

// Owners are those a STOP is noted for.
func Owners(cfg config.Config) []topics.Owner { return owners(cfg) }

// ChangeStore lets a test give the store a broken disk.
func (o *Options) ChangeStore(change func(*queue.Options)) { o.store = change }

// ChangeApplications lets a test say where platform applications' push services are.
func (o *Options) ChangeApplications(change func(*config.Account)) { o.application = change }

// Audit is a round of the auditor now.
func (g *Gateway) Audit() (differences int64, err error) { return g.topics.Audit() }
