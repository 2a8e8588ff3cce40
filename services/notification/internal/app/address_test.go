package app_test

import "testing"

func TestTwoSpellingsOfAnInternationalDomainAreOneRecipient(t *testing.T) {
	i, mails := newIssuer(t), startSMTP(t, nil)
	s := start(t, i, testConfig(newDatabase(t), i.url, mails.Addr()))
	n, err := s.Create(t.Context(), "one", newMail("Ann@Bücher.example", "ann@xn--bcher-kva.example", "ann@bu\u0308cher.example", "ann@buecher.example"))
	if err != nil {
		t.Fatal(err)
	}
	if n.Counts.Total != 2 {
		t.Errorf("%d recipients of two mailboxes", n.Counts.Total)
	}
}
