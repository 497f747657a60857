package rest

import (
	"context"

	"github.com/fanfare-gateway/fanfare/topics"
)

func (a *api) registerDeadLetters() {
	type deadLetterList struct {
		Body struct {
			DeadLetters []topics.DeadLetters `json:"dead_letters"`
		}
	}
	type redrive struct {
		Body struct {
			Cause  topics.Cause `json:"cause"`
			Rate   int          `json:"rate,omitempty" default:"50" minimum:"1" maximum:"10000" doc:"deliveries a second"`
			DryRun bool         `json:"dry_run,omitempty" doc:"only count"`
		}
	}
	type redriven struct {
		Body struct {
			Count  int64 `json:"count" doc:"dead letters of the cause"`
			DryRun bool  `json:"dry_run"`
		}
	}
	operation(a, "admin", "GET /v1/dead-letters", "Failed deliveries by cause", func(context.Context, *struct{}) (*deadLetterList, error) {
		out := &deadLetterList{}
		var err error
		out.Body.DeadLetters, err = a.Topics.DeadLetters()
		return out, err
	})
	operation(a, "admin", "POST /v1/dead-letters/redrive", "Queue the dead letters of a cause again", func(ctx context.Context, in *redrive) (*redriven, error) {
		r, err := a.Topics.Redrive(ctx, topics.Redrive{Cause: in.Body.Cause, Rate: in.Body.Rate, DryRun: in.Body.DryRun})
		out := &redriven{}
		out.Body.Count, out.Body.DryRun = r.Count, in.Body.DryRun
		return out, err
	})
}
