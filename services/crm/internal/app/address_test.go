package app_test

import (
	"context"
	"io/fs"
	"log/slog"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"fixdesk/db"
	"fixdesk/pkg/address"
	"fixdesk/pkg/dev/pgtest"
	"fixdesk/pkg/pg"
)

func TestStoredAddressesGetTheirCanonicalForm(t *testing.T) {
	pool := firstRelease(t)
	// The canonical form by the Go library is the control of the migration's own.
	stored := []string{
		"ann@example.com", "a@xn--bcher-kva.example", "a@münchen.example", "josé@café.example", "用户@例子.测试", "a@مثال.إختبار",
		"a@straße.example", "a@почта.почта-россии.рф", "a@" + strings.Repeat("ü", 20) + ".example", "a@ü" + strings.Repeat("a", 50) + ".example",
		"a@他们为什么不说中文.example", "a@なぜみんな日本語を話してくれないのか.example", "a@3年b組金八先生.example",
	}
	for _, email := range stored {
		insertUser(t, pool, email, time.Now())
	}
	migrateCRM(t, pool)
	for _, email := range stored {
		want, err := address.Parse(email)
		if err != nil {
			t.Fatalf("%s: %v", email, err)
		}
		var n int
		if err := pool.QueryRow(t.Context(), "select count(*) from users where email = $1", want).Scan(&n); err != nil || n != 1 {
			t.Errorf("%s: %d accounts by %s, %v", email, n, want, err)
		}
	}
	if changed := "a@xn--mnchen-3ya.example"; emailsOf(t, pool)[changed] == uuid.Nil {
		t.Errorf("control: %s is not there, so nothing was changed", changed)
	}
}

func TestOlderOfTwoAccountsKeepsTheirCommonAddress(t *testing.T) {
	pool := firstRelease(t)
	now := time.Now()
	older := insertUser(t, pool, "a@bücher.example", now)
	younger := insertUser(t, pool, "a@xn--bcher-kva.example", now.Add(time.Hour))
	second := insertUser(t, pool, "b@bücher.example", now.Add(time.Hour))
	first := insertUser(t, pool, "b@xn--bcher-kva.example", now)
	migrateCRM(t, pool)
	got := emailsOf(t, pool)
	for email, want := range map[string]uuid.UUID{
		"a@xn--bcher-kva.example": older, "a@bücher.example": younger,
		"b@xn--bcher-kva.example": first, "b@bücher.example": second,
	} {
		if got[email] != want {
			t.Errorf("%s belongs to the wrong account", email)
		}
	}
}

// firstRelease is a database with only the migrations of the first release.
func firstRelease(t *testing.T) *pgxpool.Pool {
	t.Helper()
	files := fstest.MapFS{}
	for _, name := range []string{"00001_identity.sql", "00002_ticket.sql", "00003_outbox.sql"} {
		data, err := fs.ReadFile(db.CRM, "crm/migrations/"+name)
		if err != nil {
			t.Fatal(err)
		}
		files["m/"+name] = &fstest.MapFile{Data: data}
	}
	return pgtest.New(t, files, "m")
}

func insertUser(t *testing.T, pool *pgxpool.Pool, email string, created time.Time) uuid.UUID {
	t.Helper()
	id := uuid.Must(uuid.NewV7())
	_, err := pool.Exec(t.Context(), `insert into users (id, name, email, search, password_hash, role, status, created_at, updated_at)
		values ($1, 'Ann', $2, 'ann', 'hash', 'customer', 'approved', $3, $3)`, id, email, created)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func migrateCRM(t *testing.T, pool *pgxpool.Pool) {
	t.Helper()
	if err := pg.Migrate(t.Context(), pool, db.CRM, "crm/migrations", slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
}

func emailsOf(t *testing.T, pool *pgxpool.Pool) map[string]uuid.UUID {
	t.Helper()
	rows, err := pool.Query(context.Background(), "select email, id from users")
	if err != nil {
		t.Fatal(err)
	}
	emails := map[string]uuid.UUID{}
	var email string
	var id uuid.UUID
	if _, err := pgx.ForEachRow(rows, []any{&email, &id}, func() error { emails[email] = id; return nil }); err != nil {
		t.Fatal(err)
	}
	return emails
}

func TestTwoSpellingsOfAnInternationalDomainAreOneAccount(t *testing.T) {
	w := newTestEnv(t)
	body := func(email string) string {
		return `{"name":"Ann","email":"` + email + `","password":"` + matrixPassword + `"}`
	}
	w.ask("POST", "/v1/auth/register", "", body("Ann@Bücher.example")).want(t, 201)
	for _, spelling := range []string{"ann@bücher.example", "ann@bu\u0308cher.example", "ANN@XN--BCHER-KVA.EXAMPLE"} {
		if again := w.ask("POST", "/v1/auth/register", "", body(spelling)).want(t, 409); again.str("code") != "email_taken" {
			t.Errorf("%s: %s", spelling, again.text)
		}
		login := w.ask("POST", "/v1/auth/login", "", `{"email":"`+spelling+`","password":"`+matrixPassword+`"}`).want(t, 200)
		if user, _ := login.body["user"].(map[string]any); user["email"] != "ann@xn--bcher-kva.example" {
			t.Errorf("%s: %s", spelling, login.text)
		}
		w.ask("POST", "/v1/auth/password/forgot", "", `{"email":"`+spelling+`"}`).want(t, 202)
	}
	var resets int
	if err := w.sql.QueryRow(t.Context(), "select count(*) from password_resets r join users u on u.id = r.user_id where u.email = $1",
		"ann@xn--bcher-kva.example").Scan(&resets); err != nil || resets != 3 {
		t.Errorf("%d password resets of the account, want 3 (%v)", resets, err)
	}
	w.ask("POST", "/v1/auth/register", "", body("ann@buecher.example")).want(t, 201) // control: another domain
}
