package rest

import (
	"context"
	"time"

	"github.com/fanfare-gateway/fanfare/topics"
)

// RedriveRequest asks for a redrive.
type RedriveRequest struct {
	Cause  topics.Cause `json:"cause"`
	Rate   int          `json:"rate,omitempty" default:"50" minimum:"1" maximum:"10000" doc:"deliveries a second, at most"`
	DryRun bool         `json:"dry_run,omitempty" doc:"only tell what it would do"`
}

// RedriveAnswer tells what a redrive does, or would do.
type RedriveAnswer struct {
	ID       string           `json:"id,omitempty" doc:"red_…; missing in a dry run"`
	DryRun   bool             `json:"dry_run"`
	Count    int64            `json:"count" doc:"dead letters of the cause"`
	Examined int64            `json:"examined,omitempty" doc:"dry run: how many were looked at, those that failed first, about 1,000 at most; the rest of the answer is of these"`
	Lanes    map[string]int64 `json:"lanes,omitempty" doc:"dry run: would be queued again, by lane"`
	Skip     map[string]int64 `json:"skip,omitempty" doc:"dry run: would be left as they are, by reason: expired, suppressed, unsubscribed meanwhile …"`
}

// Redrive is a redrive as it stands.
type Redrive struct {
	ID      string       `json:"id"`
	Cause   topics.Cause `json:"cause"`
	Rate    int          `json:"rate" doc:"deliveries a second, at most"`
	State   string       `json:"state" doc:"running, done or cancelled"`
	Total   int64        `json:"total" doc:"dead letters of the cause when it began"`
	Done    int64        `json:"done" doc:"queued again"`
	Skipped int64        `json:"skipped" doc:"left as they are: expired, suppressed, unsubscribed meanwhile …"`
	Created time.Time    `json:"created"`
	Ended   time.Time    `json:"ended,omitzero"`
}

func showRedrive(r topics.Redrive) Redrive {
	out := Redrive{
		ID: topics.RedriveName(r.ID), Cause: r.Cause, Rate: r.Rate, State: "running", Total: r.Total, Done: r.Done,
		Skipped: r.Skipped, Created: r.Created, Ended: r.Ended,
	}
	switch {
	case r.Cancelled:
		out.State = "cancelled"
	case !r.Ended.IsZero():
		out.State = "done"
	}
	return out
}

func (a *api) registerDeadLetters() {
	type deadLetterList struct {
		Body struct {
			DeadLetters []topics.DeadLetters `json:"dead_letters"`
		}
	}
	type redriveIn struct{ Body RedriveRequest }
	type redriven struct{ Body RedriveAnswer }
	operation(a, "admin", "GET /v1/dead-letters", "Failed deliveries by cause", func(context.Context, *struct{}) (*deadLetterList, error) {
		out := &deadLetterList{}
		var err error
		out.Body.DeadLetters, err = a.Topics.DeadLetters()
		return out, err
	})
	operation(a, "admin", "POST /v1/dead-letters/redrive", "Queue the dead letters of a cause again", func(ctx context.Context, in *redriveIn) (*redriven, error) {
		if in.Body.DryRun {
			plan, err := a.Topics.PlanRedrive(in.Body.Cause)
			return &redriven{showPlan(plan)}, err
		}
		r, err := a.Topics.Redrive(ctx, in.Body.Cause, in.Body.Rate)
		return &redriven{RedriveAnswer{ID: topics.RedriveName(r.ID), Count: r.Total}}, err
	})
	a.registerRedrives()
}

func showPlan(p topics.RedrivePlan) RedriveAnswer {
	out := RedriveAnswer{DryRun: true, Count: p.Count, Examined: p.Examined, Skip: p.Skip, Lanes: map[string]int64{}}
	for lane, n := range p.Lanes {
		out.Lanes[string(lane)] = n
	}
	return out
}

func (a *api) registerRedrives() {
	type redriveList struct {
		Body struct {
			Redrives []Redrive `json:"redrives"`
		}
	}
	type redriveID struct {
		ID string `path:"id" doc:"red_…"`
	}
	type redriveOut struct{ Body Redrive }
	operation(a, "admin", "GET /v1/redrives", "Redrives, newest first; an ended one is listed as long as a ledger is kept", func(context.Context, *struct{}) (*redriveList, error) {
		all, err := a.Topics.Redrives()
		out := &redriveList{}
		out.Body.Redrives = []Redrive{}
		for _, r := range all {
			out.Body.Redrives = append(out.Body.Redrives, showRedrive(r))
		}
		return out, err
	})
	operation(a, "admin", "GET /v1/redrives/{id}", "How far a redrive is", func(_ context.Context, in *redriveID) (*redriveOut, error) {
		id, err := parseID("red_", "id", in.ID)
		if err != nil {
			return nil, err
		}
		r, err := a.Topics.RedriveOf(id)
		return &redriveOut{showRedrive(r)}, err
	})
	operation(a, "admin", "DELETE /v1/redrives/{id}", "Cancel a redrive: what it has queued goes on, the rest stays as it is", func(ctx context.Context, in *redriveID) (*redriveOut, error) {
		id, err := parseID("red_", "id", in.ID)
		if err != nil {
			return nil, err
		}
		r, err := a.Topics.CancelRedrive(ctx, id)
		return &redriveOut{showRedrive(r)}, err
	})
}
