package gateway

import (
	"context"
	"fmt"
	"reflect"
	"time"

	"github.com/fanfare-gateway/fanfare/config"
)

// Reload takes over accounts, keys, the error book, the egress guard and the
// limits of requests from the configuration that load gives; what else has
// changed is named in the log and needs a restart. On an error, load's too,
// everything stays as it was.
func (g *Gateway) Reload(ctx context.Context, load func() (config.Config, error)) error {
	g.reloading.Lock()
	defer g.reloading.Unlock()
	err := g.reload(ctx, load)
	g.reloads.note(err, time.Now())
	return err
}

func (g *Gateway) reload(ctx context.Context, load func() (config.Config, error)) error {
	cfg, err := load()
	if err != nil {
		return err
	}
	cfg = g.adjusted(cfg)
	if err := g.setAccounts(ctx, cfg); err != nil {
		return err
	}
	if err := g.setHandler(cfg); err != nil {
		return err
	}
	if err := g.signing.Use(ctx, signingPair(cfg.AWS)); err != nil {
		return fmt.Errorf("aws.signing_key: %w", err)
	}
	if parts := needRestart(g.adjusted(g.opts.Config), cfg); len(parts) > 0 {
		g.log.Warn("parts of the configuration changed that a restart is needed for", "parts", parts)
	}
	return nil
}

// needRestart names the parts of a configuration that differ and that a reload
// does not take over.
func needRestart(was, now config.Config) (parts []string) {
	now.Keys, now.Accounts, now.ErrorBook, now.Egress = was.Keys, was.Accounts, was.ErrorBook, was.Egress
	now.Limits.Request, now.Limits.Import = was.Limits.Request, was.Limits.Import
	now.AWS.AccessKeys, now.AWS.SigningKey, now.AWS.SigningCertificate = was.AWS.AccessKeys, was.AWS.SigningKey, was.AWS.SigningCertificate
	old, fresh := reflect.ValueOf(was), reflect.ValueOf(now)
	for i := range old.NumField() {
		if !reflect.DeepEqual(old.Field(i).Interface(), fresh.Field(i).Interface()) {
			parts = append(parts, old.Type().Field(i).Tag.Get("yaml"))
		}
	}
	return parts
}
