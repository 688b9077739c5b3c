package siteimport

import (
	"maps"
	"slices"
	"strings"
)

// effect is what the import does with a directive that the reader does not interpret.
type effect int

const (
	harmless    effect = iota // it cannot change who has access, nor what etcd receives
	differs                   // clients get other answers, which the report lists
	unsupported               // it could refuse or change requests, so there is no configuration
)

// family is a set of directives with the same effect for the same reason.
type family struct {
	effect effect
	reason string
	names  string
	// values makes an unsupported directive harmless if its arguments are one of these.
	values []string
}

// families is the table of all directives outside of those that the reader interprets,
// for every context. A directive that it does not list is unsupported.
var families = []family{
	{harmless, "it is about nginx's own processes and files", `user worker_processes worker_cpu_affinity worker_priority worker_rlimit_nofile worker_rlimit_core worker_shutdown_timeout working_directory
		pid lock_file daemon master_process debug_points env pcre_jit thread_pool timer_resolution ssl_engine events error_log error_log_format google_perftools_profiles`, nil},
	{harmless, "a module acts by its directives, which this table lists", `load_module`, nil},
	{harmless, "it serves other ports with other protocols", `stream mail`, nil},
	{harmless, "it defines variables, zones or formats, and only directives that use them have an effect", `map map_hash_bucket_size map_hash_max_size geo split_clients log_format limit_req_zone limit_conn_zone
		proxy_cache_path variables_hash_bucket_size variables_hash_max_size upstream uninitialized_variable_warn rewrite_log`, nil},
	{harmless, "it is about logs", `access_log open_log_file_cache log_not_found log_subrequest limit_req_log_level limit_conn_log_level`, nil},
	{harmless, "it is about static files, which the proxy does not serve", `root alias index default_type types types_hash_bucket_size types_hash_max_size charset charset_types override_charset source_charset charset_map
		sendfile sendfile_max_chunk aio aio_write directio directio_alignment output_buffers read_ahead open_file_cache open_file_cache_errors open_file_cache_min_uses open_file_cache_valid
		disable_symlinks etag if_modified_since max_ranges autoindex autoindex_exact_size autoindex_format autoindex_localtime gzip_static`, nil},
	{harmless, "the server that import reads is the only one on its port, so its names do not matter", `server_name server_names_hash_bucket_size server_names_hash_max_size server_name_in_redirect port_in_redirect absolute_redirect`, nil},
	{harmless, "the proxy has its own limits of connections, heads and times", `keepalive_timeout keepalive_requests keepalive_time keepalive_disable client_header_timeout client_body_timeout send_timeout send_lowat
		client_header_buffer_size large_client_header_buffers client_body_buffer_size client_body_temp_path client_body_in_file_only client_body_in_single_buffer
		lingering_close lingering_time lingering_timeout reset_timedout_connection tcp_nodelay tcp_nopush postpone_output connection_pool_size request_pool_size
		limit_rate limit_rate_after limit_req_status limit_conn_status limit_req_dry_run limit_conn_dry_run auth_delay`, nil},
	{harmless, "it is about the connections of nginx to etcd, and the proxy has its own pool", `proxy_http_version proxy_buffering proxy_buffer_size proxy_buffers proxy_busy_buffers_size proxy_max_temp_file_size
		proxy_temp_file_write_size proxy_temp_path proxy_request_buffering proxy_read_timeout proxy_send_timeout proxy_connect_timeout proxy_send_lowat proxy_limit_rate proxy_bind
		proxy_next_upstream proxy_next_upstream_timeout proxy_next_upstream_tries proxy_socket_keepalive proxy_ignore_client_abort proxy_headers_hash_bucket_size proxy_headers_hash_max_size
		proxy_ssl_protocols proxy_ssl_ciphers proxy_ssl_session_reuse proxy_ssl_server_name proxy_ssl_verify_depth resolver resolver_timeout
		fastcgi_temp_path uwsgi_temp_path scgi_temp_path`, nil},
	{harmless, "no answer is cached without proxy_cache", `proxy_cache_bypass proxy_no_cache proxy_cache_valid proxy_cache_key proxy_cache_lock proxy_cache_lock_age proxy_cache_lock_timeout proxy_cache_methods
		proxy_cache_min_uses proxy_cache_revalidate proxy_cache_use_stale proxy_cache_background_update proxy_cache_convert_head proxy_cache_max_range_offset proxy_ignore_headers`, nil},
	{harmless, "etcd's answers have neither cookies nor redirects of this kind", `proxy_redirect proxy_cookie_domain proxy_cookie_path proxy_cookie_flags`, nil},
	{harmless, "the proxy has its own settings of TLS", `ssl_session_cache ssl_session_timeout ssl_session_tickets ssl_session_ticket_key ssl_prefer_server_ciphers ssl_dhparam ssl_ecdh_curve ssl_buffer_size
		ssl_stapling ssl_stapling_file ssl_stapling_responder ssl_stapling_verify ssl_trusted_certificate ssl_verify_depth ssl_handshake_timeout`, nil},
	{harmless, "it is about HTTP/2 between client and proxy", `http2_body_preread_size http2_chunk_size http2_idle_timeout http2_max_concurrent_pushes http2_max_concurrent_streams http2_max_field_size
		http2_max_header_size http2_max_requests http2_push http2_push_preload http2_recv_buffer_size http2_recv_timeout`, nil},
	{harmless, "etcd has no field with such a name", `underscores_in_headers`, nil},
	{harmless, "it changes the page of nginx's own errors, and the proxy's errors have etcd's form", `error_page recursive_error_pages`, nil},
	{harmless, "upstreams: the proxy prefers the first endpoint and has its own pool", `server zone keepalive least_conn ip_hash hash random state least_time`, nil},

	{differs, "nginx changed fields of the answers; here they are etcd's", `add_header add_trailer expires proxy_hide_header proxy_pass_header server_tokens`, nil},
	{differs, "nginx compressed or framed the answers; here they are as etcd sends them", `gzip gzip_vary gzip_proxied gzip_comp_level gzip_buffers gzip_http_version gzip_types gzip_min_length gzip_disable gunzip gunzip_buffers chunked_transfer_encoding`, nil},
	{differs, "the proxy accepts TLS 1.2 and 1.3 with its own suites", `ssl_protocols ssl_ciphers`, nil},

	{unsupported, "it refuses requests by rate, number or name", `limit_req limit_conn valid_referers geoip_country geoip_city`, nil},
	{unsupported, "it lets a request through if one of several checks does", `satisfy`, []string{"all"}},
	{unsupported, "it lets another server or program decide", `auth_request auth_jwt`, []string{"off"}},
	{unsupported, "it lets another program decide", `auth_request_set auth_jwt_key_file access_by_lua access_by_lua_file rewrite_by_lua rewrite_by_lua_file secure_link secure_link_md5
		secure_link_secret js_access perl`, nil},
	{unsupported, "it answers or rewrites requests itself", `return rewrite if set break try_files post_action mirror_request_body stub_status empty_gif echo fastcgi_pass uwsgi_pass scgi_pass grpc_pass
		memcached_pass dav_methods dav_access random_index flv mp4 proxy_pass internal`, nil},
	{unsupported, "import reads one limit_except in a location, and locations that stand in the server itself", `location limit_except`, nil},
	{unsupported, "it changes the request that etcd gets", `proxy_method proxy_set_body proxy_set_header`, nil},
	{unsupported, "it drops parts of the request that etcd gets", `proxy_pass_request_body proxy_pass_request_headers`, []string{"on"}},
	{unsupported, "it answers requests from a copy, or makes a copy", `mirror proxy_cache proxy_store proxy_store_access slice`, []string{"off"}},
	{unsupported, "it changes the answers of etcd", `proxy_intercept_errors proxy_force_ranges sub_filter sub_filter_once sub_filter_types add_before_body add_after_body ssi`, []string{"off"}},
	{unsupported, "it changes how paths are matched, or which fields count", `merge_slashes ignore_invalid_headers`, []string{"on"}},
	{unsupported, "client certificates are set by hand, with tls.client_ca, tls.client_crl and tls.client_auth", `ssl_verify_client ssl_client_certificate ssl_crl ssl_ocsp ssl_ocsp_cache ssl_ocsp_responder`, []string{"off"}},
	{unsupported, "it changes the handshake", `ssl ssl_reject_handshake ssl_early_data ssl_password_file ssl_conf_command`, []string{"off"}},
	{unsupported, "it changes how nginx and etcd identify each other", `proxy_ssl_password_file proxy_ssl_conf_command proxy_ssl_crl`, nil},
	{unsupported, "it changes the address that counts as the client's", `set_real_ip_from real_ip_header real_ip_recursive`, nil},
}

// byName is the table by directive.
var byName = indexFamilies()

func indexFamilies() map[string]*family {
	index := map[string]*family{}
	for i := range families {
		for name := range strings.FieldsSeq(families[i].names) {
			if _, twice := index[name]; twice {
				panic("BUG: the table has " + name + " twice")
			}
			index[name] = &families[i]
		}
	}
	return index
}

// harmlessFields are request fields that decide nothing in etcd.
var harmlessFields = []string{
	"host", "connection", "upgrade", "accept-encoding", "x-real-ip", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-port", "forwarded", "x-request-id", "x-scheme",
}

// effectOf returns the effect of a directive, and the reason. known is false if the table
// does not list it.
func effectOf(d *directive) (e effect, reason string, known bool) {
	f, known := byName[d.name()]
	switch args := d.args(); {
	case !known:
		return unsupported, "it is not a directive that import knows", false
	case d.name() == "proxy_set_header" && len(args) == 2 && slices.Contains(harmlessFields, strings.ToLower(args[0])),
		// The proxy never forwards these credentials.
		d.name() == "proxy_set_header" && len(args) == 2 && strings.EqualFold(args[0], "Authorization") && args[1] == "":
		return harmless, "etcd does not decide by this field", true
	case f.effect == unsupported && len(args) == 1 && d.block == nil && slices.Contains(f.values, args[0]):
		return harmless, "this value is the default", true
	}
	return f.effect, f.reason, true
}

// check records a directive that the reader does not interpret.
func (r *nginxReader) check(d *directive) {
	switch e, reason, known := effectOf(d); e {
	case unsupported:
		name := d.name()
		if !known && strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789_") != "" {
			name = "this word" // it could be a secret of another kind of file
		}
		r.problems = append(r.problems, r.fail(d, "%s is not supported: %s (hint: its effect would be lost; remove the line if that is acceptable)", name, reason))
	case differs:
		if r.noted == nil {
			r.noted = map[string][]string{}
		}
		if what := d.name() + " at " + d.place(); !slices.Contains(r.noted[reason], what) {
			r.noted[reason] = append(r.noted[reason], what)
		}
	}
}

// checkKnown records the unknown directives of a block whose known ones do not matter,
// because the proxy closes the paths that the block is for.
func (r *nginxReader) checkKnown(list []*directive) {
	for _, d := range list {
		if _, _, known := effectOf(d); !known && !slices.Contains(interpreted, d.name()) {
			r.check(d)
		}
		if !slices.Contains(opaque, d.name()) {
			r.checkKnown(d.block)
		}
	}
}

// addClosed records a location whose paths this proxy closes.
func (r *nginxReader) addClosed(l *location, outer settings) {
	r.checkKnown(l.at.block)
	passes := slices.ContainsFunc(l.at.block, func(d *directive) bool { return d.name() == "proxy_pass" })
	guards := func(d *directive) bool {
		return slices.Contains([]string{"auth_basic", "deny", "limit_except", "internal", "return"}, d.name())
	}
	if answers(l.at.block, outer) {
		r.closed = append(r.closed, l.name())
	}
	if passes && !outer.isGuarded() && !outer.deny && !slices.ContainsFunc(l.at.block, guards) {
		r.site.OpenElsewhere = append(r.site.OpenElsewhere, l.path)
	}
}

// answers reports whether clients can get anything but a refusal from a block.
func answers(block []*directive, outer settings) bool {
	denied := outer.deny
	for _, d := range slices.Backward(block) { // of several rules for addresses the first decides
		first := ""
		if len(d.args()) > 0 {
			first = d.args()[0]
		}
		switch d.name() {
		case "internal":
			return false
		case "return":
			return !strings.HasPrefix(first, "4") && !strings.HasPrefix(first, "5")
		case "allow", "deny":
			denied = d.name() == "deny" && first == "all"
		}
	}
	return !denied
}

// interpreted lists the directives that the reader interprets, each in its contexts.
var interpreted = append([]string{"allow", "deny", "auth_basic", "auth_basic_user_file", "client_max_body_size", "http2", "ssl_certificate", "ssl_certificate_key", "listen"}, proxyTLS...)

// notedDifferences returns the differences of directives, one for each reason, and of the
// locations that have no place here.
func (r *nginxReader) notedDifferences() []Difference {
	var list []Difference
	if len(r.closed) > 0 {
		list = append(list, Difference{Class: Elsewhere, Effect: Refused, What: "requests for " + strings.Join(r.closed, ", "), Why: "nginx answered them or passed them on; here all other paths are closed"})
	}
	for _, reason := range slices.Sorted(maps.Keys(r.noted)) {
		list = append(list, Difference{Class: Directives, Effect: Answered, What: strings.Join(r.noted[reason], ", "), Why: reason})
	}
	return list
}
