package attachment

import (
	"github.com/google/uuid"

	"fixdesk/pkg/httpapi"
	"fixdesk/services/crm/internal/example"
)

// ExampleView is the file of the examples.
var ExampleView = AttachmentView{
	ID: uuid.MustParse("019b76c1-5f00-7d11-9b2c-4e6f8a0b2c3d"), Filename: "printer.jpg", MediaType: "image/jpeg", Size: 146515,
	SHA256: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", Scan: ScanOff,
	CreatedAt: httpapi.NewTime(example.At("09:29:00")),
}

var exampleDetail = attachmentDetailView{
	AttachmentView: ExampleView,
	DownloadURL:    pathOf(ExampleView.ID) + "/content?signature=eyJhbGciOiJFZERTQSJ9.eyJhdWQiOiJjcm0tdXJsIn0.c2lnbmF0dXJl",
}
