package attachment

import (
	"errors"
	"net/url"
	"path"
	"strings"
)

// storeURL is where a store is.
type storeURL struct {
	scheme     string // "postgres", "file" or "s3"
	host, path string // of s3: the bucket, and what the names of its objects begin with

	endpoint, region string // of s3
	secure           bool
}

var errStoreURL = errors.New("must be postgres, file:///folder, or s3://bucket/prefix?endpoint=https://host&region=name")

// ParseStore checks the name of a store: "postgres", "file:///folder", or
// "s3://bucket/prefix?endpoint=https://host:port&region=name". It returns the one
// spelling under which contents are recorded.
func ParseStore(name string) (string, error) {
	u, err := parseStore(name)
	if err != nil {
		return "", err
	}
	return u.String(), nil
}

func parseStore(name string) (storeURL, error) {
	if name == Postgres {
		return storeURL{scheme: Postgres}, nil
	}
	u, err := url.Parse(name)
	if err != nil || u.User != nil || u.Fragment != "" {
		return storeURL{}, errStoreURL
	}
	switch {
	case u.Scheme == "file" && u.Host == "" && strings.HasPrefix(u.Path, "/") && u.RawQuery == "":
		return storeURL{scheme: "file", path: path.Clean(u.Path)}, nil
	case u.Scheme == "s3" && u.Host != "":
		return parseBucket(u)
	}
	return storeURL{}, errStoreURL
}

func parseBucket(u *url.URL) (storeURL, error) {
	query := u.Query()
	s := storeURL{scheme: "s3", host: u.Host, path: strings.Trim(u.Path, "/"), endpoint: "s3.amazonaws.com", secure: true, region: query.Get("region")}
	if at := query.Get("endpoint"); at != "" {
		e, err := url.Parse(at)
		if err != nil || e.Scheme != "http" && e.Scheme != "https" || e.Host == "" || strings.Trim(e.Path, "/") != "" || e.User != nil {
			return storeURL{}, errStoreURL
		}
		s.endpoint, s.secure = e.Host, e.Scheme == "https"
	}
	query.Del("region")
	query.Del("endpoint")
	if len(query) > 0 {
		return storeURL{}, errStoreURL
	}
	return s, nil
}

// String is the URL in its one spelling.
func (s storeURL) String() string {
	switch s.scheme {
	case "file":
		return (&url.URL{Scheme: "file", Path: s.path}).String()
	case "s3":
		scheme := "http"
		if s.secure {
			scheme = "https"
		}
		query := url.Values{"endpoint": {scheme + "://" + s.endpoint}}
		if s.region != "" {
			query.Set("region", s.region)
		}
		return (&url.URL{Scheme: "s3", Host: s.host, Path: "/" + s.path, RawQuery: query.Encode()}).String()
	}
	return s.scheme
}
