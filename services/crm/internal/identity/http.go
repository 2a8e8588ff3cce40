package identity

import (
	"context"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"fixdesk/pkg/httpapi"
)

// anyRole is who may call what belongs to every user.
var anyRole = []string{string(RoleCustomer), string(RoleEngineer), string(RoleAdmin)}

var adminOnly = []string{string(RoleAdmin)}

// Register mounts this room's routes.
func Register(api *httpapi.API, s *Service) {
	registerKeys(api, s)
	registerAuth(api, s)
	registerPassword(api, s)
	registerVerification(api, s)
	registerMe(api, s)
	registerUsers(api, s)
	registerRegistrations(api, s)
	registerAudit(api, s)
}

// setQuotas answers with what is left of each limit.
func setQuotas(ctx context.Context, quotas []Quota) {
	limits := make([]httpapi.RateLimit, 0, len(quotas))
	for _, q := range quotas {
		limits = append(limits, httpapi.RateLimit(q))
	}
	httpapi.SetRateLimits(ctx, limits...)
}

const maxUserAgentLength = 500 // characters

// cleanUserAgent makes a header fit to be stored and shown.
func cleanUserAgent(s string) string {
	s = strings.Map(func(r rune) rune {
		if isUnprintable(r) || r == utf8.RuneError {
			return -1
		}
		return r
	}, s)
	if r := []rune(s); len(r) > maxUserAgentLength {
		s = string(r[:maxUserAgentLength])
	}
	return s
}

// UserBody is a user in an answer. It is exported because huma describes only
// exported embedded fields.
type UserBody struct {
	ID              uuid.UUID                      `json:"id" format:"uuid"`
	Name            string                         `json:"name"`
	Email           string                         `json:"email" format:"email"`
	Role            Role                           `json:"role" enum:"customer,engineer,admin"`
	Status          Status                         `json:"status" enum:"pending,approved,rejected,suspended"`
	EmailVerifiedAt httpapi.Nullable[httpapi.Time] `json:"email_verified_at" doc:"When the person proved to read mail at the address; null until then."`
	CreatedAt       httpapi.Time                   `json:"created_at"`
	UpdatedAt       httpapi.Time                   `json:"updated_at"`
}

func viewUser(u User) UserBody {
	return UserBody{
		ID: u.ID, Name: u.Name, Email: u.Email, Role: u.Role, Status: u.Status,
		EmailVerifiedAt: httpapi.NullTime(u.EmailVerifiedAt), CreatedAt: httpapi.NewTime(u.CreatedAt), UpdatedAt: httpapi.NewTime(u.UpdatedAt),
	}
}

type userOutput struct {
	ETag string `header:"ETag"`
	Body UserBody
}

func answerUser(u User, err error) (*userOutput, error) {
	if err != nil {
		return nil, err
	}
	return &userOutput{ETag: httpapi.ETag(int64(u.Version)), Body: viewUser(u)}, nil
}

type idInput struct {
	ID uuid.UUID `path:"id" format:"uuid"`
}

type pageOutput[T any] struct{ Body httpapi.Page[T] }

// listing is how one list is paged. Filters is everything that chooses its rows,
// with the list's name: a cursor of another list or other filters is refused.
type listing[T, V any] struct {
	filters  any
	fetch    func(after *Position, n int) ([]T, error)
	position func(T) Position
	view     func(T) V
}

func (l listing[T, V]) page(params httpapi.PageParams) (*pageOutput[V], error) {
	var after *Position
	if params.Cursor != "" {
		p, err := httpapi.DecodeCursor[Position](params.Cursor, l.filters)
		if err != nil {
			return nil, err
		}
		after = &p
	}
	rows, err := l.fetch(after, params.Limit+1)
	if err != nil {
		return nil, err
	}
	next := ""
	if len(rows) > params.Limit {
		rows = rows[:params.Limit]
		if next, err = httpapi.EncodeCursor(l.position(rows[len(rows)-1]), l.filters); err != nil {
			return nil, err
		}
	}
	views := make([]V, 0, len(rows))
	for _, r := range rows {
		views = append(views, l.view(r))
	}
	return &pageOutput[V]{httpapi.NewPage(views, next)}, nil
}

func seconds(d time.Duration) int { return int(d / time.Second) }
