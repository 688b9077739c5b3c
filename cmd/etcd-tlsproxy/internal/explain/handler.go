package explain

import (
	"encoding/json"
	"net/http"
	"net/url"

	"etcd-tlsproxy/proxy/gate"
)

// Handler answers GET at the admin address from the snapshot in force, as JSON:
//
//	?user=U&method=M&target=T   the decision of the gate, a [gate.Explanation]
//	?who=KEY                    who can access a key, a [Who]
//	?what=USER                  what a user can access, a [What]; "" is an anonymous client
//	without parameters          all rules, a [Table]
func Handler(snapshot func() *gate.Policy) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		query, err := url.ParseQuery(r.URL.RawQuery)
		if err != nil {
			http.Error(w, "the query is malformed", http.StatusBadRequest)
			return
		}
		result, problem := answerQuery(snapshot(), query)
		if problem != "" {
			http.Error(w, problem, http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store") // a reload can change it
		_ = json.NewEncoder(w).Encode(result)       // an error means that the client has gone
	})
}

func answerQuery(s *gate.Policy, query url.Values) (answer any, problem string) {
	for name, values := range query {
		if len(values) > 1 {
			return nil, name + " is given twice"
		}
	}
	has := func(names ...string) bool {
		for _, name := range names {
			if !query.Has(name) {
				return false
			}
		}
		return len(query) == len(names)
	}
	switch {
	case has():
		return TableOf(s), ""
	case has("who"):
		key, err := ParseKey(query.Get("who"))
		if err != nil {
			return nil, err.Error()
		}
		return WhoMay(s, key), ""
	case has("what"):
		return WhatMay(s, query.Get("what")), ""
	case has("method", "target"), has("user", "method", "target"):
		return s.Explain(query.Get("method"), query.Get("target"), query.Get("user")), ""
	}
	return nil, "unknown combination of parameters: use method and target, optionally with user; or who; or what; or none"
}
