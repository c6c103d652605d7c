package cgroup

import "testing"

func TestPressureOf(t *testing.T) {
	for text, want := range map[string]int{
		"some avg10=0.00 avg60=12.51 avg300=1.00 total=9\nfull avg10=0.00 avg60=99.00 avg300=0.00 total=0\n": 13,
		"some avg10=0.00 avg60=100.00 avg300=1.00 total=9\n":                                                 100,
		"full avg10=0.00 avg60=9.00 avg300=1.00 total=9\n":                                                   0,
		"some avg60=x": 0, "some avg60=NaN": 0, "some avg60=1e9": 0, "": 0,
	} {
		if got := pressureOf(text); got != want {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
	}
}
