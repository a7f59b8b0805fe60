package policy

import "net/http"

// FollowRedirect is whether a redirect is followed.
func FollowRedirect(from, to string) error {
	via, err := http.NewRequest(http.MethodGet, from, nil)
	if err != nil {
		return err
	}
	next, err := http.NewRequest(http.MethodGet, to, nil)
	if err != nil {
		return err
	}
	return follow(next, []*http.Request{via})
}
