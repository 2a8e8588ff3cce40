package app_test

import (
	"testing"

	"fixdesk/pkg/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }
