package template

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"ecr-continuous-scan/internal/emf"
)

// The alarm on old scans watches the metric that the scan run writes, of the function that writes it.
func TestAlarmOnOldScans(t *testing.T) {
	alarm := at(t, load(t), "Resources", "ScansTooOld", "Properties").(object)
	want := object{"Name": "FunctionName", "Value": object{"Ref": "StartScanFunc"}}
	if diff := cmp.Diff([]any{want}, alarm["Dimensions"]); diff != "" {
		t.Errorf("dimensions (-want +got):\n%s", diff)
	}
	if alarm["Namespace"] != emf.Namespace || alarm["MetricName"] != emf.OldestScanAge || alarm["Threshold"] != 48*60*60 {
		t.Errorf("it watches %v %v over %v", alarm["Namespace"], alarm["MetricName"], alarm["Threshold"])
	}
}
