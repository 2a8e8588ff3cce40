package erasure

import (
	"context"
	"net/http"

	"fixdesk/pkg/httpapi"
	"fixdesk/pkg/notifyapi"
)

// erasureRequest is notifyapi.ErasureRequest under its name in the document.
type erasureRequest notifyapi.ErasureRequest

type input struct{ Body erasureRequest }

// Register adds the route of erasures to the API.
func Register(api *httpapi.API, s *Service) {
	httpapi.Register(api, httpapi.Operation{
		Method: http.MethodPost, Path: "/v1/erasures", ID: "erase-address", Tag: "notifications", Allow: []string{notifyapi.ScopeManage}, Status: http.StatusNoContent,
		Summary: "Erase the mails to an address",
		Description: "Of the mails that are stored for the address, and have ended, the address, the replies of mail servers and, where nobody else was mailed, subject, text and files are removed. " +
			"Statuses and counts stay. It begins at once and takes as long as it needs to look at all recipients; a mail that is still to be sent is erased after it has ended. Mails of later are not erased. " +
			"The same request again begins anew. The suppression list is not changed.",
		RequestExample: erasureRequest{EmailSHA256: "b5fc85e55755f9e0d030a10ab4429b6b2944855f9a0d60077fe832becbc41d72"},
	}, func(ctx context.Context, in *input) (*struct{}, error) {
		return nil, s.Add(ctx, in.Body.EmailSHA256)
	})
}
