package mailcatcher

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/emersion/go-smtp"
)

// maxReplyBytes is the size of a reply with its file.
const maxReplyBytes = 12 << 20

// reply sends an answer to a message to the inbound listener, as one of its
// recipients. It takes a form with text, from (the first recipient unless given) and
// file.
func (h handler) reply(w http.ResponseWriter, r *http.Request) {
	message, raw, ok := h.find(w, r)
	if !ok {
		return
	}
	answered, err := readReply(w, r, message.envelope)
	if err != nil {
		problem(w, http.StatusUnprocessableEntity, sentence(err))
		return
	}
	mail, to, err := answered.compose(message.envelope, raw, h.now())
	if err != nil {
		problem(w, http.StatusUnprocessableEntity, sentence(err))
		return
	}
	if err := deliver(h.inbound, answered.From, to, mail); err != nil {
		problem(w, http.StatusBadGateway, h.undelivered(err))
		return
	}
	answer(w, http.StatusOK, "application/json", map[string]any{"from": answered.From, "to": to})
}

func readReply(w http.ResponseWriter, r *http.Request, e envelope) (reply, error) {
	r.Body = http.MaxBytesReader(w, r.Body, maxReplyBytes)
	if err := r.ParseMultipartForm(maxReplyBytes); err != nil {
		return reply{}, errors.New("the reply must be a form of at most 12 MiB with its file")
	}
	defer r.MultipartForm.RemoveAll() //nolint:errcheck // the system cleans its folder of temporary files
	answered := reply{From: r.PostFormValue("from"), Text: r.PostFormValue("text")}
	if answered.From == "" && len(e.To) > 0 {
		answered.From = e.To[0]
	}
	if strings.TrimSpace(answered.Text) == "" {
		return reply{}, errors.New("the reply has no text")
	}
	file, header, err := r.FormFile("file")
	if err != nil || header.Size == 0 {
		return answered, nil
	}
	defer file.Close()
	content, err := io.ReadAll(file)
	if err != nil {
		return reply{}, errors.New("the file can't be read")
	}
	answered.File = &attachment{Name: header.Filename, MediaType: header.Header.Get("Content-Type"), Content: content}
	return answered, nil
}

// undelivered says why the inbound listener has not taken a reply.
func (h handler) undelivered(err error) string {
	var refused *smtp.SMTPError
	if errors.As(err, &refused) {
		return fmt.Sprintf("The listener for incoming mail at %s refused the reply: %d %s", h.inbound, refused.Code, refused.Message)
	}
	return fmt.Sprintf("The listener for incoming mail at %s can't be reached. NOTIFICATION_INBOUND_ADDR says where it listens.", h.inbound)
}

func sentence(err error) string {
	text := err.Error()
	return strings.ToUpper(text[:1]) + text[1:] + "."
}
