package config

import "testing"

func TestSizeReadsBytesAndUnits(t *testing.T) {
	for value, want := range map[string]Size{
		"26214400": 25 << 20, "25MiB": 25 << 20, "1GiB": 1 << 30, "512KiB": 512 << 10, "1": 1,
		"": 0, "0": 0, "-1": 0, "25MB": 0, "25 MiB": 0, "MiB": 0, "1.5MiB": 0, "9999999999GiB": 0, "25MiBMiB": 0,
	} {
		var got Size
		if err := got.Decode(value); got != want || (err == nil) != (want > 0) {
			t.Errorf("%q is %d, %v; want %d", value, got, err, want)
		}
	}
}
