package httpapi

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"fixdesk/pkg/errs"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/validation"
)

const (
	maxListedErrors   = 50
	maxLocationLength = 200

	// missingPrefix marks huma's message for a missing property, which it
	// reports at the object; the answer has the property's own location.
	missingPrefix = "missing property: "
)

// huma is configured by package variables. Its own errors echo the input and copy
// the text of any error into a 500.
func init() {
	huma.ValidateStrictCasing = true
	huma.DefaultArrayNullable = false
	huma.NewError = func(status int, _ string, details ...error) huma.StatusError {
		return humaProblem(nil, status, details)
	}
	huma.NewErrorWithContext = func(ctx huma.Context, status int, _ string, details ...error) huma.StatusError {
		return humaProblem(ctx, status, details)
	}
	huma.ErrorFormatter = func(format string, args ...any) string {
		if !strings.Contains(format, "%") { // without a verb Sprintf would append the arguments
			return format
		}
		return fmt.Sprintf(format, args...)
	}
	replaceMessages()
}

// replaceMessages replaces huma's messages, some of which hold the value.
func replaceMessages() {
	validation.MsgUnexpectedProperty = "is not a known field"
	validation.MsgExpectedRFC3339DateTime = "must be a time such as 2026-01-31T09:30:00Z (RFC 3339)"
	validation.MsgExpectedRFC3339Date = "must be a date such as 2026-01-31"
	validation.MsgExpectedRFC5322Email = "must be an e-mail address"
	validation.MsgExpectedRFC3986URI = "must be a URI"
	validation.MsgExpectedRFC4122UUID = "must be a UUID"
	validation.MsgExpectedRegexp = "must be a regular expression"
	validation.MsgExpectedDuration = "must be a duration such as 30s"
	validation.MsgExpectedBoolean = "must be true or false"
	validation.MsgExpectedNumber = "must be a number"
	validation.MsgExpectedInteger = "must be a whole number"
	validation.MsgExpectedString = "must be a string"
	validation.MsgExpectedArray = "must be a list"
	validation.MsgExpectedObject = "must be an object"
	validation.MsgExpectedArrayItemsUnique = "must not repeat an item"
	validation.MsgExpectedOneOf = "must be one of %s"
	validation.MsgExpectedMinimumNumber = "must be at least %v"
	validation.MsgExpectedExclusiveMinimumNumber = "must be more than %v"
	validation.MsgExpectedMaximumNumber = "must be at most %v"
	validation.MsgExpectedExclusiveMaximumNumber = "must be less than %v"
	validation.MsgExpectedMinLength = "must have at least %d characters"
	validation.MsgExpectedMaxLength = "must have at most %d characters"
	validation.MsgExpectedBePattern = "must be %s"
	validation.MsgExpectedMatchPattern = "must match %s"
	validation.MsgExpectedMinItems = "must have at least %d items"
	validation.MsgExpectedMaxItems = "must have at most %d items"
	validation.MsgExpectedMinProperties = "must have at least %d fields"
	validation.MsgExpectedMaxProperties = "must have at most %d fields"
	validation.MsgExpectedRequiredProperty = missingPrefix + "%s"
}

// humaProblem converts an error of huma to a Problem. After the pipeline these are
// validation errors; any other is a defect.
func humaProblem(ctx huma.Context, status int, details []error) *Problem {
	e := errInternal
	if status == http.StatusUnprocessableEntity || status == http.StatusBadRequest {
		e = errs.Validation(fields(details)...)
	}
	if ctx == nil { // huma makes an example for its document
		return &Problem{Status: status}
	}
	return newProblem(ctx.Context(), e)
}

// fields lists what is wrong without the values, sorted by location so that
// the same input has the same answer.
func fields(details []error) []errs.Field {
	var list []errs.Field
	for _, err := range details {
		detailer, ok := err.(huma.ErrorDetailer)
		if !ok {
			list = append(list, errs.Field{Location: "body", Message: "is not valid"})
			continue
		}
		d := detailer.ErrorDetail()
		list = append(list, field(d.Location, d.Message))
	}
	slices.SortStableFunc(list, func(a, b errs.Field) int { return cmp.Compare(a.Location, b.Location) })
	list = slices.Compact(list)
	return list[:min(len(list), maxListedErrors)]
}

func field(location, message string) errs.Field {
	if name, ok := strings.CutPrefix(message, missingPrefix); ok {
		location, message = location+"."+name, "is required"
	}
	switch {
	case strings.HasPrefix(message, "required ") && strings.HasSuffix(message, " parameter is missing"):
		message = "is required"
	case message == "invalid integer":
		message = validation.MsgExpectedInteger
	case message == "invalid boolean":
		message = validation.MsgExpectedBoolean
	case message == "invalid float", message == "invalid floating value":
		message = validation.MsgExpectedNumber
	case strings.HasPrefix(message, "invalid date/time"):
		message = validation.MsgExpectedRFC3339DateTime
	case strings.HasPrefix(message, "json: "):
		message = "has a value of the wrong type or out of range"
	case strings.HasPrefix(message, "invalid value: ") && strings.Contains(message, "UUID"):
		message = validation.MsgExpectedRFC4122UUID
	case strings.HasPrefix(message, "invalid value: "):
		message = "is not valid"
	}
	return errs.Field{Location: saneLocation(location), Message: message}
}

// saneLocation returns the location if it is a plain path, else its first part,
// since names of unknown fields are the client's own text.
func saneLocation(location string) string {
	plain := len(location) <= maxLocationLength
	for i := 0; plain && i < len(location); i++ {
		c := location[i]
		plain = c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' ||
			strings.IndexByte("._-[]", c) >= 0
	}
	if plain {
		return location
	}
	root, _, _ := strings.Cut(location, ".")
	switch root {
	case "query", "path", "header":
		return root
	}
	return "body"
}
