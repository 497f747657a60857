package rest

import (
	"fmt"

	"github.com/fanfare-gateway/fanfare/channels"
	"github.com/fanfare-gateway/fanfare/queue"
)

// RetryPolicy is channels.RetryPolicy with durations as text.
type RetryPolicy struct {
	Phases            []RetryPhase `json:"phases" maxItems:"100" doc:"they follow each other; the first attempt is not part of them"`
	MaxAge            string       `json:"max_age,omitempty" example:"6h" doc:"no attempt follows a failure later than this; default no bound"`
	FinalClientErrors bool         `json:"final_client_errors,omitempty" doc:"an answer 4xx is final"`
}

// RetryPhase is a run of retries, the waits growing from From to To.
type RetryPhase struct {
	Tries   int    `json:"tries" minimum:"1" maximum:"100000"`
	From    string `json:"from" example:"5s"`
	To      string `json:"to,omitempty" example:"10m" doc:"default from"`
	Backoff string `json:"backoff,omitempty" enum:"linear,arithmetic,geometric,exponential,jitter" doc:"default linear"`
}

func (r *RetryPolicy) policy() (*channels.RetryPolicy, error) {
	if r == nil {
		return nil, nil
	}
	p := &channels.RetryPolicy{FinalClientErrors: r.FinalClientErrors}
	var err error
	if p.MaxAge, err = duration("retry.max_age", r.MaxAge, queue.MaxDelay); err != nil {
		return nil, err
	}
	for i, text := range r.Phases {
		ph, err := text.phase(fmt.Sprintf("retry.phases[%d].", i))
		if err != nil {
			return nil, err
		}
		p.Phases = append(p.Phases, ph)
	}
	return p, nil
}

func (r RetryPhase) phase(field string) (channels.Phase, error) {
	ph := channels.Phase{Tries: r.Tries, Backoff: channels.Backoff(r.Backoff)}
	var err error
	if ph.From, err = duration(field+"from", r.From, queue.MaxDelay); err != nil {
		return ph, err
	}
	if ph.To, err = duration(field+"to", r.To, queue.MaxDelay); err != nil {
		return ph, err
	}
	if r.To == "" {
		ph.To = ph.From
	}
	if ph.To < ph.From {
		return ph, invalid(field+"to", "must not be less than from")
	}
	return ph, nil
}

func showRetry(p *channels.RetryPolicy) *RetryPolicy {
	if p == nil {
		return nil
	}
	out := &RetryPolicy{Phases: []RetryPhase{}, FinalClientErrors: p.FinalClientErrors}
	if p.MaxAge > 0 {
		out.MaxAge = p.MaxAge.String()
	}
	for _, ph := range p.Phases {
		out.Phases = append(out.Phases, RetryPhase{Tries: ph.Tries, From: ph.From.String(), To: ph.To.String(), Backoff: string(ph.Backoff)})
	}
	return out
}
