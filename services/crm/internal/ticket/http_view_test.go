package ticket

import (
	"testing"

	"fixdesk/pkg/dev/apitest"
)

func TestTicketIsAppendedAsEncodingJSONWritesIt(t *testing.T) { apitest.CheckAppended[TicketView](t) }
