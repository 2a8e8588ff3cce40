package delivery

import (
	"strings"
	"testing"
)

func TestMailsHaveTheirContentWhenAnEarlierClaimReturnedIt(t *testing.T) {
	l, c := newLoop(t)
	several := seed(t, l.DB, c.now, c.now, 4)
	large := seed(t, l.DB, c.now, c.now, 4)
	seed(t, l.DB, c.now, c.now, 1)
	execute(t, l, "update notifications set text = $1, html = '<p>t</p>', bytes = 20 where id = $2", strings.Repeat("t", 12), several)
	execute(t, l, "update notifications set text = $1, bytes = $2 where id = $3", strings.Repeat("t", inlineBytes+1), inlineBytes+1, large)

	for n, want := range []int{6, 3} {
		for _, task := range mustClaim(t, l, 6, want) {
			text, html := "t", ""
			switch task.notificationID {
			case several:
				text, html = strings.Repeat("t", 12), "<p>t</p>"
			case large:
				text = "" // the worker fetches it
			}
			if task.mail.Text != text || task.mail.HTML != html || task.large != (task.notificationID == large) {
				t.Errorf("claim %d: a recipient of %s gets %d and %d bytes", n, task.notificationID, len(task.mail.Text), len(task.mail.HTML))
			}
		}
		if known := l.store.contents.known(); len(known) != 1 || known[several].text == "" {
			t.Errorf("claim %d: the content of %d notifications is kept, want that of one", n, len(known))
		}
	}
}

func TestControlContentThatIsKnownIsNotClaimed(t *testing.T) {
	l, c := newLoop(t)
	id := seed(t, l.DB, c.now, c.now, 3)
	mustClaim(t, l, 1, 1)
	l.store.contents.kept[id] = content{text: "kept"}
	for _, task := range mustClaim(t, l, 2, 2) {
		if task.mail.Text != "kept" {
			t.Errorf("the text is %q: it was claimed again", task.mail.Text)
		}
	}
}

func TestContentOfFewNotificationsIsKnown(t *testing.T) {
	l, c := newLoop(t)
	for range maxKnown + 5 {
		seed(t, l.DB, c.now, c.now, 3)
	}
	mustClaim(t, l, maxKnown+5, maxKnown+5) // the first of each: all are different
	if known := l.store.contents.known(); len(known) != 0 {
		t.Errorf("%d are known although none had two recipients in the claim", len(known))
	}
	for _, task := range mustClaim(t, l, 100, 2*(maxKnown+5)) {
		if task.mail.Text != "t" {
			t.Errorf("the text is %q", task.mail.Text)
		}
	}
	if known := l.store.contents.known(); len(known) != maxKnown {
		t.Errorf("%d are known, want %d", len(known), maxKnown)
	}
}
