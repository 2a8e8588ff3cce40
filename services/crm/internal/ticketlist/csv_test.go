package ticketlist

import (
	"bytes"
	"context"
	"encoding/csv"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"fixdesk/services/crm/internal/crmtest"
)

// export requests a list as CSV from a listening server, since a stream needs a
// real connection.
func (d *testEnv) export(ctx context.Context, server *httptest.Server, who crmtest.User, query string) *http.Response {
	d.Helper()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+"/v1/tickets/export?"+query, nil)
	if err != nil {
		d.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+who.ID.String())
	response, err := server.Client().Do(request)
	if err != nil {
		d.Fatal(err)
	}
	return response
}

func (d *testEnv) rows(server *httptest.Server, who crmtest.User, query string) ([][]string, []byte) {
	d.Helper()
	response := d.export(context.Background(), server, who, query)
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != 200 || response.Header.Get("Content-Type") != "text/csv" {
		d.Fatalf("%d %v %s %v", response.StatusCode, response.Header, data, err)
	}
	rows, err := csv.NewReader(bytes.NewReader(data)).ReadAll()
	if err != nil {
		d.Fatal(err)
	}
	return rows, data
}

func (d *testEnv) server() *httptest.Server {
	server := httptest.NewServer(d.Handler)
	d.Cleanup(server.Close)
	return server
}

func TestExportHasEveryRowOfTheFilteredListInItsOrder(t *testing.T) {
	d := newTestEnv(t)
	server, admin, customer, other := d.server(), d.User("admin"), d.User("customer"), d.User("customer")
	d.Exec(`insert into tickets (id, title, description, status, reporter_id, created_at, updated_at, closed_at)
		select gen_random_uuid(), 'Title ' || n, 'It smokes', case when n % 2 = 0 then 'open' else 'closed' end::ticket_status, case when n % 3 = 0 then $1 else $2 end::uuid,
			now() - n * interval '1 second', now(), case when n % 2 = 1 then now() end from generate_series(1, 1203) n`, customer.ID, other.ID)
	for _, c := range []struct {
		who   crmtest.User
		query string
		rows  int
		first string
	}{
		{admin, "", 1203, "Title 1"}, {admin, "status=open&sort=created_at", 601, "Title 1202"}, {customer, "", 401, "Title 3"}, {customer, "q=none", 0, ""},
	} {
		rows, _ := d.rows(server, c.who, c.query)
		if len(rows) != c.rows+1 || rows[0][0] != "number" || c.rows > 0 && rows[1][2] != c.first {
			t.Errorf("%s %q: %d rows, %v", c.who.Role, c.query, len(rows)-1, rows[min(1, len(rows)-1)])
		}
	}
	refused := d.export(context.Background(), server, admin, "sort=title")
	defer refused.Body.Close()
	if refused.StatusCode != 422 || refused.Header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("%d %v", refused.StatusCode, refused.Header)
	}
}

func TestExportQuotesCellsAndDisarmsFormulas(t *testing.T) {
	d := newTestEnv(t)
	server, customer := d.server(), d.User("customer")
	hostile := map[string]string{
		`=HYPERLINK("http://evil")`: `'=HYPERLINK("http://evil")`, "+1": "'+1", "-1": "'-1", "@SUM(A1)": "'@SUM(A1)", "＝1": "'＝1",
		`say "hi", she said`: `say "hi", she said`, "plain": "plain", "a=b": "a=b",
	}
	for title := range hostile {
		d.Raise(customer, title, "\t=1+1\nline two, \"quoted\"")
	}
	rows, data := d.rows(server, customer, "")
	for _, row := range rows[1:] {
		found := false
		for title, cell := range hostile {
			found = found || row[2] == cell && d.find(customer, "#"+row[0])[0] == title
		}
		if description := row[len(row)-1]; !found || description != "'=1+1\nline two, \"quoted\"" {
			t.Errorf("row %q", row)
		}
	}
	if lines := bytes.Count(data, []byte("\n")); lines != bytes.Count(data, []byte("\r\n")) {
		t.Error("line ends that are not those of RFC 4180")
	}
	if !strings.Contains(string(data), `"say ""hi"", she said"`) {
		t.Errorf("%s", data)
	}
}

func TestExportEndsWhenItsClientDisconnects(t *testing.T) {
	d := newTestEnv(t)
	server, admin := d.server(), d.User("admin")
	d.Exec(`insert into tickets (id, title, description, reporter_id, created_at, updated_at)
		select gen_random_uuid(), 'Title ' || n, repeat('It smokes. ', 1500), $1, now(), now() from generate_series(1, 3000) n`, admin.ID)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	response := d.export(ctx, server, admin, "")
	if _, err := io.ReadFull(response.Body, make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	cancel()
	_ = response.Body.Close()
	idle := make(chan struct{})
	go func() { server.Close(); close(idle) }() // waits for the handler
	select {
	case <-idle:
	case <-time.After(4 * time.Minute):
		t.Fatal("the export is still being written")
	}
	if n := d.Pool.Stat().AcquiredConns(); n != 0 {
		t.Errorf("%d connections still in use", n)
	}
}
