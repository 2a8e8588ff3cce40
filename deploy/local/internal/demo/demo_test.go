package demo

import (
	"slices"
	"strings"
	"testing"
)

func TestPeopleAndTopicsAreComplete(t *testing.T) {
	all := slices.Concat(engineers, customers)
	if len(all) != 20 {
		t.Errorf("%d people", len(all))
	}
	addresses := map[string]bool{}
	for _, name := range all {
		addresses[addressOf(name)] = true
	}
	if len(addresses) != len(all) || !addresses[Engineer] || !addresses[Customer] {
		t.Errorf("addresses: %v", addresses)
	}
	for _, topic := range topics {
		if strings.Count(topic.title, "%s") != 1 || topic.description == "" || topic.question == "" || topic.answer == "" || topic.resolution == "" {
			t.Errorf("incomplete: %+v", topic)
		}
	}
}
