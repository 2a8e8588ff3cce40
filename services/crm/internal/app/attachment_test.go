package app_test

import (
	"strings"
	"testing"
)

func TestExportListsFilesAndErasureRemovesThem(t *testing.T) {
	w := newTestEnv(t)
	object, admin := w.prepare(), w.login("admin")
	staff := w.login("engineer")
	own := "/v1/attachments/" + object["attachment"]
	w.ask("GET", own+"/content", staff, "").want(t, 200)
	if export := w.ask("GET", "/v1/me/export", w.login("reporter"), "").want(t, 200); strings.Count(export.text, `"filename":"canaryfile.txt"`) != 2 || !strings.Contains(export.text, object["attachment"]) {
		t.Errorf("the export is %s", export.text)
	}
	if export := w.ask("GET", "/v1/me/export", w.login("customer"), "").want(t, 200); strings.Contains(export.text, "canaryfile") {
		t.Errorf("a stranger's export is %s", export.text)
	}
	w.ask("DELETE", "/v1/users/"+w.ids["reporter"], admin, "").want(t, 204)
	w.ask("GET", own, staff, "").want(t, 404)
	w.ask("GET", own+"/content", staff, "").want(t, 404)
	if ticket := w.ask("GET", "/v1/tickets/"+object["ticket"], staff, "").want(t, 200); !strings.Contains(ticket.text, `"attachments":[]`) {
		t.Errorf("the ticket is %s", ticket.text)
	}
	var rows int
	if err := w.sql.QueryRow(t.Context(), `select (select count(*) from attachments) + (select count(*) from attachment_contents)`).Scan(&rows); err != nil || rows != 0 {
		t.Errorf("%d rows are left, %v", rows, err)
	}
}

func TestSignedURLDownloadsWithoutAToken(t *testing.T) {
	w := newTestEnv(t)
	object := w.prepare()
	detail := w.ask("GET", "/v1/attachments/"+object["attachment"], w.login("reporter"), "").want(t, 200)
	link := detail.str("download_url")
	if got := w.ask("GET", link, "", "").want(t, 200); got.text != "text" {
		t.Errorf("got %q", got.text)
	}
	w.ask("GET", link+"A", "", "").want(t, 401)
	w.ask("GET", strings.Replace(link, object["attachment"], object["unattached"], 1), "", "").want(t, 401)
	w.ask("GET", link, w.login("customer"), "").want(t, 404) // a token counts for more
}
