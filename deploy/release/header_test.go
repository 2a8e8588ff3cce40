package main

import (
	"os"
	"runtime"
	"testing"
)

func TestProgramOfAnotherPlatformIsRefused(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	own := platform{runtime.GOOS, runtime.GOARCH}
	for _, p := range archivePlatforms {
		if err := checkProgram(self, p); (err == nil) != (p == own) {
			t.Errorf("this program, of %s, as one for %s: %v", own, p, err)
		}
	}
}
