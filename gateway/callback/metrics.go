package callback

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Metrics count what comes back. They outlive the handlers, of which there is a
// new one for each configuration.
type Metrics struct {
	callbacks *prometheus.CounterVec
	optOuts   *prometheus.CounterVec
}

// NewMetrics registers the metrics.
func NewMetrics(r prometheus.Registerer) *Metrics {
	f := promauto.With(r)
	return &Metrics{
		callbacks: f.NewCounterVec(prometheus.CounterOpts{
			Name: "fanfare_callbacks_total", Help: "Callbacks of providers by what became of them.",
		}, []string{"provider", "result"}),
		optOuts: f.NewCounterVec(prometheus.CounterOpts{
			Name: "fanfare_opt_outs_total", Help: "Recipients who said stop through a provider: STOP replies to an SMS, complaints about a mail.",
		}, []string{"provider"}),
	}
}

// initialise shows all series of an account's provider from the start.
func (m *Metrics) initialise(account string) {
	provider := providerOf(account)
	for _, r := range []result{taken, ignored, unknownID, badSignature, unreadable, failed} {
		m.callbacks.WithLabelValues(provider, string(r))
	}
	m.optOuts.WithLabelValues(provider)
}

func (m *Metrics) count(account string, r result) {
	m.callbacks.WithLabelValues(providerOf(account), string(r)).Inc()
}

func (m *Metrics) optedOut(account string) {
	m.optOuts.WithLabelValues(providerOf(account)).Inc()
}

// providerOf is the first part of an account's name.
func providerOf(account string) string {
	provider, _, _ := strings.Cut(account, "/")
	return provider
}
