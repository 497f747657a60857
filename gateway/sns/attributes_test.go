package sns_test

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awssns "github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/stretchr/testify/require"
)

// TestTheFirstOfSeveralFaultsIsNamed: whoever asks again is told the same.
func TestTheFirstOfSeveralFaultsIsNamed(t *testing.T) {
	t.Parallel()
	b := start(t)
	require.NoError(t, b.tryApp("APNS", "my-app", signing))
	device := b.device("ab", "", nil)
	wrong := map[string]string{"Blue": "", "Color": "", "Delta": "", "Enabled": "maybe"}
	for range 50 {
		invalidly(t, b.tryApp("APNS", "other", wrong), "Attributes Reason: Invalid attribute name: Blue")
		_, err := b.SetPlatformApplicationAttributes(t.Context(), &awssns.SetPlatformApplicationAttributesInput{
			PlatformApplicationArn: aws.String(appARN), Attributes: wrong,
		})
		invalidly(t, err, "Attributes Reason: Invalid attribute name: Blue")
		_, err = b.tryDevice("cd", "", wrong)
		invalidly(t, err, "Attributes Reason: Invalid attribute name: Blue")
		invalidly(t, b.setDevice(device, wrong), "Attributes Reason: Invalid attribute name: Blue")
		_, err = b.SetSMSAttributes(t.Context(), &awssns.SetSMSAttributesInput{Attributes: wrong})
		invalidly(t, err, "Attributes Reason: Unknown attribute Blue")
	}
}
