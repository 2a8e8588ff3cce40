package ticketlist

import (
	"testing"

	"fixdesk/pkg/dev/apitest"
	"fixdesk/pkg/httpapi"
)

func TestListedTicketIsAppendedAsEncodingJSONWritesIt(t *testing.T) {
	apitest.CheckAppended[listedTicketView](t)
	apitest.CheckAppended[lastCommentView](t)
	apitest.CheckAppended[httpapi.Page[listedTicketView]](t)
}
