package identity

import (
	"context"
	"time"

	"github.com/google/uuid"

	"fixdesk/pkg/httpapi"
)

// anyRole allows every signed-in user.
var anyRole = []string{string(RoleCustomer), string(RoleEngineer), string(RoleAdmin)}

var adminOnly = []string{string(RoleAdmin)}

// Register adds the operations of this package to the API.
func Register(api *httpapi.API, s *Service) {
	httpapi.Enum(api, "UserRole", "What a user may do.", RoleCustomer, RoleEngineer, RoleAdmin)
	httpapi.Enum(api, "UserStatus", "Whether a user may sign in: approved users alone may.", StatusPending, StatusApproved, StatusRejected, StatusSuspended)
	httpapi.Enum(api, "ApplicantRole", "A role that an admin must approve.", applicantRole(RoleEngineer), applicantRole(RoleAdmin))
	httpapi.Enum(api, "AuditKind", "What happened. A later release may add kinds.", AuditKinds...)
	registerKeys(api, s)
	registerAPIKeys(api, s)
	registerToken(api, s)
	registerAuth(api, s)
	registerPassword(api, s)
	registerVerification(api, s)
	registerMe(api, s)
	registerUsers(api, s)
	registerPeople(api, s)
	registerRegistrations(api, s)
	registerAudit(api, s)
}

// SetQuotas sets the RateLimit headers of the answer to the request of ctx.
func SetQuotas(ctx context.Context, quotas []Quota) {
	limits := make([]httpapi.RateLimit, 0, len(quotas))
	for _, q := range quotas {
		limits = append(limits, httpapi.RateLimit(q))
	}
	httpapi.SetRateLimits(ctx, limits...)
}

// UserBody is a user in an answer. It is exported because huma documents only
// exported embedded structs.
type UserBody struct {
	ID              uuid.UUID                      `json:"id" format:"uuid" doc:"The user's id, a UUIDv7."`
	Name            string                         `json:"name" doc:"How others see the user."`
	Email           string                         `json:"email" format:"email" doc:"The address for signing in and for mails, in lower case."`
	Role            Role                           `json:"role" doc:"What the user may do."`
	Status          Status                         `json:"status" doc:"Whether the user may sign in."`
	EmailVerifiedAt httpapi.Nullable[httpapi.Time] `json:"email_verified_at" doc:"When the address was verified; null until then."`
	CreatedAt       httpapi.Time                   `json:"created_at" doc:"When the account was made."`
	UpdatedAt       httpapi.Time                   `json:"updated_at" doc:"When the account changed last."`
}

// ViewUser returns a user as the API answers it.
func ViewUser(u User) UserBody {
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
	return &userOutput{ETag: httpapi.ETag(int64(u.Version)), Body: ViewUser(u)}, nil
}

type idInput struct {
	ID uuid.UUID `path:"id" format:"uuid" doc:"The id of what the path names."`
}

func seconds(d time.Duration) int { return int(d / time.Second) }
