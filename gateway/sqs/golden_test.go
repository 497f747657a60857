package sqs_test

import (
	"flag"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/fanfare-gateway/fanfare/gateway/awswire/wiretest"
	"github.com/fanfare-gateway/fanfare/gateway/sqs"
)

var update = flag.Bool("update", false, "write the answers of the golden files")

func TestGoldenFiles(t *testing.T) {
	t.Parallel()
	suite := wiretest.Suite{
		Version: "2012-11-05", Update: *update,
		Start: func(t *testing.T) wiretest.Face { return wiretest.Face{URL: newFace(t, sqs.Options{}).url} },
		Masks: []wiretest.Mask{
			{Mark: "{handle}", Text: regexp.MustCompile(`(ReceiptHandle(?:":"|>))([^"<]+)`), Kept: true},
			{Mark: "{task}", Text: regexp.MustCompile(`(TaskHandle(?:":"|>))([^"<]+)`), Kept: true},
			{Mark: "{id}", Text: regexp.MustCompile(`()([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})`)},
			{Mark: "{sequence}", Text: regexp.MustCompile(`(SequenceNumber(?:":"|>|</Name><Value>))(\d{20})`)},
			{Mark: "{time}", Text: regexp.MustCompile(`(Timestamp(?:":"?|>|</Name><Value>))(\d{10,13})`)},
		},
	}
	require.Len(t, suite.Run(t), 24, "one for each action, and one for what is none")
}
