package explain

import (
	"encoding/json"
	"net/http"
	"net/url"

	"etcd-tlsproxy/proxy/gate"
)

// Handler answers GET at the admin address from the snapshot in force, as JSON:
//
//	?user=U&method=M&target=T   what the gate decides: a [gate.Explanation]
//	?who=KEY                    who may: a [Who]
//	?what=USER                  what a user may: a [What]; "" is nobody
//	without parameters          all rules: a [Table]
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
		w.Header().Set("Cache-Control", "no-store") // the next reload changes it
		_ = json.NewEncoder(w).Encode(result)       // a client that left needs no answer
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
	return nil, "the parameters are user, method and target; or who; or what; or none"
}
