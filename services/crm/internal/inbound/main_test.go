package inbound

import (
	"testing"

	"fixdesk/pkg/dev/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }
