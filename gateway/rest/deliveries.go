package rest

import (
	"context"
	"time"

	"github.com/fanfare-gateway/fanfare/topics"
)

// Delivery is one delivery of a publish.
type Delivery struct {
	ID           string    `json:"id"`
	State        string    `json:"state"`
	Try          int       `json:"try" doc:"attempts begun that count"`
	Protocol     string    `json:"protocol"`
	Account      string    `json:"account,omitempty"`
	Subscription string    `json:"subscription,omitempty"`
	At           time.Time `json:"at" doc:"last change"`
	Kind         string    `json:"kind,omitempty" doc:"of the last failure"`
	Code         string    `json:"code,omitempty"`
	Reason       string    `json:"reason,omitempty"`
	ProviderID   string    `json:"provider_id,omitempty"`
	NextAttempt  time.Time `json:"next_attempt,omitzero" doc:"queued for a retry: not before"`
	DeadLettered bool      `json:"dead_lettered,omitempty" doc:"failed, and in its subscription's dead-letter queue"`
}

func showDelivery(d topics.Delivery) Delivery {
	out := Delivery{
		ID: topics.DeliveryName(d.ID), State: d.State.String(), Try: d.Try, Protocol: d.Protocol, Account: d.Account, At: d.At,
		Kind: d.Kind, Code: d.Code, Reason: d.Reason, ProviderID: d.ProviderID, NextAttempt: d.NextAttempt,
		DeadLettered: d.DeadLettered,
	}
	if !d.Subscription.IsZero() {
		out.Subscription = topics.SubscriptionName(d.Subscription)
	}
	return out
}

func (a *api) registerDeliveries() {
	type deliveryList struct {
		Body struct {
			Deliveries []Delivery `json:"deliveries"`
			Next       string     `json:"next,omitempty"`
		}
	}
	operation(a, "read", "GET /v1/publishes/{id}/deliveries", "A publish's deliveries", func(ctx context.Context, in *struct {
		PublishPath
		Page
		State string `query:"state"`
	}) (*deliveryList, error) {
		id, err := parseID("pub_", "id", in.ID)
		if err != nil {
			return nil, err
		}
		after, err := in.behind("dlv_")
		if err != nil {
			return nil, err
		}
		var only []topics.State
		if in.State != "" {
			only = make([]topics.State, 1)
			if err := only[0].UnmarshalText([]byte(in.State)); err != nil {
				return nil, invalid("state", err.Error())
			}
		}
		ds, err := a.Topics.Deliveries(ownerOf(ctx), id, after, in.Limit, only...)
		out := &deliveryList{}
		out.Body.Deliveries = []Delivery{}
		for _, d := range ds {
			out.Body.Deliveries = append(out.Body.Deliveries, showDelivery(d))
		}
		if len(ds) == in.Limit {
			out.Body.Next = topics.DeliveryName(ds[len(ds)-1].ID)
		}
		return out, err
	})
}

func (a *api) registerDelivery() {
	type deliveryOut struct {
		Body struct {
			Delivery
			FailedAttempts []topics.FailedAttempt `json:"failed_attempts"`

			Unapplied []topics.UnappliedEvidence `json:"unapplied_evidence,omitempty" doc:"what providers said without changing the state: of an earlier try, or outranked"`
		}
	}
	operation(a, "read", "GET /v1/deliveries/{id}", "A delivery and its failed attempts", func(ctx context.Context, in *struct {
		ID string `path:"id" doc:"dlv_…"`
	}) (*deliveryOut, error) {
		id, err := parseID("dlv_", "id", in.ID)
		if err != nil {
			return nil, err
		}
		d, attempts, err := a.Topics.Attempts(ownerOf(ctx), id)
		out := &deliveryOut{}
		out.Body.Delivery, out.Body.FailedAttempts, out.Body.Unapplied = showDelivery(d), attempts, d.Unapplied
		return out, err
	})
}
