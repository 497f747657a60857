package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/fanfare-gateway/fanfare/channels/sandbox"
	"github.com/fanfare-gateway/fanfare/config"
)

// play makes the publishes one after the other and ends with their ledgers.
func (d *demo) play(ctx context.Context, publishes []publishLine) error {
	if err := d.prepare(ctx); err != nil {
		return err
	}
	d.screen.say("A mail relay's 421 is retried after 1s here: the demo's error book says so, ours 10s.")
	var ids []string
	var failed error
	for _, p := range publishes {
		id, err := d.publish(ctx, p)
		if id != "" {
			ids = append(ids, id)
		}
		if err != nil {
			failed = err
			break
		}
	}
	d.screen.say("The ledgers:")
	for _, id := range ids {
		if err := d.ledger(ctx, id); err != nil {
			return errors.Join(failed, err)
		}
	}
	if failed == nil {
		d.screen.say(fmt.Sprintf("Everything ended as expected, in %.1fs.", time.Since(d.begin).Seconds()))
	}
	return failed
}

// publish makes one publish and watches it to its end. The id is "" if it was
// refused.
func (d *demo) publish(ctx context.Context, p publishLine) (id string, err error) {
	tale := p.body.Topic != "" && !d.told
	if tale {
		d.told = true
		d.sb.FCM.Revoke()
		d.screen.say("The FCM key has just been revoked.")
	}
	var out struct {
		ID string `json:"id"`
	}
	if err := d.call(ctx, http.MethodPost, "/v1/publish", p.body, &out); err != nil {
		return "", fmt.Errorf("%s: %w", p.where, err)
	}
	d.screen.say("Accepted, durable: " + out.ID)
	w := &watch{demo: d, id: out.ID, first: tale, direct: p.body.Topic == ""}
	defer d.screen.leave()
	if tale {
		err = d.tell(ctx, w)
	}
	if err == nil {
		err = w.until(ctx, w.settled)
	}
	diff := w.differences()
	if err == nil && len(diff) > 0 {
		err = errors.New("it ended otherwise than expected")
	}
	if err != nil && ctx.Err() == nil {
		err = fmt.Errorf("%s (%s): %w", out.ID, p.where, err)
		for _, line := range diff {
			err = fmt.Errorf("%w\n  %s", err, line)
		}
	}
	if tale && err == nil {
		err = d.consequences(ctx)
	}
	return out.ID, err
}

// tell is what happens while the first publish is on its way.
func (d *demo) tell(ctx context.Context, w *watch) error {
	faulted := func() bool {
		return slices.Contains(w.accounts, accountState{fcmAccount, "faulted"})
	}
	if err := w.until(ctx, faulted); err != nil {
		return fmt.Errorf("the revoked key should pause its account: %w", err)
	}
	d.screen.say("Account " + fcmAccount + " is at fault: its deliveries wait; others go on.")
	broken := d.part(brokenHook)
	if err := w.until(ctx, func() bool { return w.of(broken).State == "failed" }); err != nil {
		return fmt.Errorf("the broken webhook should be dead-lettered: %w", err)
	}
	d.sb.Script(sandbox.ProviderWebhook, broken.endpoint())
	cause := object{"protocol": "http", "account": webhookAccount, "kind": "temporary", "code": "500"}
	if err := d.call(ctx, http.MethodPost, "/v1/dead-letters/redrive", object{"cause": cause}, nil); err != nil {
		return err
	}
	d.screen.say("The broken webhook is dead-lettered, repaired and redriven.")
	waits := func() bool {
		diff := w.differences()
		return len(diff) == 1 && strings.HasPrefix(diff[0], keyRevoked)
	}
	if err := w.until(ctx, waits); err != nil {
		return fmt.Errorf("all but the one with the revoked key should have ended: %w", err)
	}
	d.sb.FCM.Rotate()
	if err := d.g.Reload(ctx, func() (config.Config, error) { return d.cfg, nil }); err != nil {
		return err
	}
	d.screen.say("The FCM key is rotated: what waited goes out.")
	return nil
}

// suppression is what is read of one.
type suppression struct {
	Endpoint string `json:"endpoint"`
	Reason   string `json:"reason"`
}

// consequences checks what the first publish leaves behind.
func (d *demo) consequences(ctx context.Context) error {
	var s struct {
		Suppressions []suppression `json:"suppressions"`
	}
	if err := d.call(ctx, http.MethodGet, "/v1/suppressions", nil, &s); err != nil {
		return err
	}
	if !slices.Contains(s.Suppressions, suppression{d.part(optedOut).endpoint(), "twilio 21610"}) {
		return fmt.Errorf("%s: its number should be suppressed", optedOut)
	}
	var sub struct {
		Disabled string `json:"disabled"`
	}
	if err := d.call(ctx, http.MethodGet, "/v1/subscriptions/"+d.part(appRemoved).id, nil, &sub); err != nil {
		return err
	}
	if sub.Disabled == "" {
		return fmt.Errorf("%s: its subscription should be disabled", appRemoved)
	}
	d.screen.say("The number is suppressed (twilio 21610), the device disabled (" + sub.Disabled + ").")
	return nil
}

// ledger prints where all deliveries of a publish stand.
func (d *demo) ledger(ctx context.Context, id string) error {
	var p struct {
		Ledger map[string]int64 `json:"ledger"`
	}
	if err := d.call(ctx, http.MethodGet, "/v1/publishes/"+id, nil, &p); err != nil {
		return err
	}
	var parts []string
	for _, state := range []string{"sent", "delivered", "failed", "suppressed", "expired", "cancelled", "uncertain", "queued", "held", "sending"} {
		if n := p.Ledger[state]; n > 0 {
			parts = append(parts, fmt.Sprintf("%s %d", state, n))
		}
	}
	d.screen.say(fmt.Sprintf("%s: %s", id, strings.Join(parts, ", ")))
	return nil
}
