package memberhost

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// meaning says what an option of etcd means for a recovery.
type meaning int

const (
	// The zero value is for options that do not move data and do not change what a recovery
	// sets.
	_ meaning = iota
	// setting options are part of the result.
	setting
	// bootstrap options are set by the recovery, in the environment. On the command line
	// they would take precedence.
	bootstrap
	// forbidden options are refused unless they are off.
	forbidden
)

// option is an option of etcd. Its variable is ETCD_ with the name in upper case.
type option struct {
	meaning meaning
	// boolean options have no word of their own for a value.
	boolean bool
	// off is the value of a forbidden option that has no effect, besides "".
	off string
	// reason says why the option is forbidden.
	reason string
}

// lookUp returns an option by the name of its flag.
func lookUp(name string) (option, bool) {
	if special, ok := specialOptions()[name]; ok {
		return special, true
	}
	if slices.Contains(strings.Fields(booleanOptions), name) {
		return option{boolean: true}, true
	}
	return option{}, slices.Contains(strings.Fields(valueOptions), name)
}

// Decides reports whether an option of etcd, by the name of its flag, decides which data or
// which cluster a member has. version does not: with it etcd is no member at all.
func Decides(name string) bool {
	_, special := specialOptions()[name]
	return special && name != "version"
}

func specialOptions() map[string]option {
	return map[string]option{
		"name": {meaning: setting}, "data-dir": {meaning: setting}, "wal-dir": {meaning: setting},
		"initial-cluster": {meaning: bootstrap}, "initial-cluster-state": {meaning: bootstrap},
		"discovery": {meaning: bootstrap}, "discovery-srv": {meaning: bootstrap},
		"force-new-cluster": {meaning: forbidden, boolean: true, off: "false", reason: "each start would make a cluster of one member"},
		"config-file":       {meaning: forbidden, reason: "etcd then ignores all flags and variables, including those that a recovery sets"},
		"proxy":             {meaning: forbidden, off: "off", reason: "a proxy of etcd is not a member"},
		"version":           {meaning: forbidden, boolean: true, off: "false", reason: "etcd would only print its version"},
		"experimental-enable-v2v3": {meaning: forbidden,
			reason: "the v2 keys are then in the v3 store, which this program neither backs up nor compares"},
	}
}

// booleanOptions and valueOptions are the harmless options of etcd 3.2 to 3.5. A test
// compares them with those of the installed etcd.
const (
	booleanOptions = `initial-election-tick-advance strict-reconfig-check pre-vote enable-v2 client-cert-auth auto-tls
peer-client-cert-auth peer-auto-tls experimental-peer-skip-client-san-verification enable-pprof debug
enable-log-rotation enable-grpc-gateway socket-reuse-port socket-reuse-address
experimental-initial-corrupt-check experimental-compact-hash-check-enabled experimental-enable-lease-checkpoint
experimental-enable-lease-checkpoint-persist experimental-memory-mlock
experimental-txn-mode-write-with-shared-buffer experimental-stop-grpc-service-on-defrag
experimental-enable-distributed-tracing unsafe-no-fsync`

	valueOptions = `snapshot-count heartbeat-interval election-timeout listen-peer-urls listen-client-urls
listen-client-http-urls max-snapshots max-wals quota-backend-bytes backend-batch-interval backend-batch-limit
backend-bbolt-freelist-type experimental-backend-bbolt-freelist-type max-txn-ops max-request-bytes
max-concurrent-streams grpc-keepalive-min-time grpc-keepalive-interval grpc-keepalive-timeout raft-read-timeout
raft-write-timeout initial-advertise-peer-urls initial-cluster-token advertise-client-urls discovery-fallback
discovery-proxy discovery-srv-name auto-compaction-retention auto-compaction-mode v2-deprecation cert-file key-file
ca-file client-crl-file client-cert-allowed-hostname trusted-ca-file peer-cert-file peer-key-file peer-ca-file
peer-trusted-ca-file peer-cert-allowed-cn peer-cert-allowed-hostname peer-crl-file self-signed-cert-validity
cipher-suites tls-min-version tls-max-version cors host-whitelist auth-token bcrypt-cost auth-token-ttl metrics
listen-metrics-urls logger log-outputs log-level log-package-levels log-rotation-config-json proxy-failure-wait
proxy-refresh-interval proxy-dial-timeout proxy-write-timeout proxy-read-timeout experimental-corrupt-check-time
experimental-compact-hash-check-time experimental-compaction-batch-limit experimental-compaction-sleep-interval
experimental-watch-progress-notify-interval experimental-downgrade-check-time experimental-warning-apply-duration
experimental-warning-unary-request-duration experimental-bootstrap-defrag-threshold-megabytes
experimental-snapshot-catchup-entries experimental-distributed-tracing-address
experimental-distributed-tracing-service-name experimental-distributed-tracing-instance-id
experimental-distributed-tracing-sampling-rate experimental-max-learners`
)

// settings are the options that say which data a member has.
type settings struct {
	name, dataDir, walDir string
}

// set applies an option that was found at a place.
func (s *settings) set(name, value, place string, onCommandLine bool) error {
	o, known := lookUp(name)
	switch {
	case !known:
		return fmt.Errorf("%s is not an option that a recovery knows, so it may move data (hint: remove it until the recovery has ended)", place)
	case o.meaning == forbidden && value != "" && value != o.off:
		return fmt.Errorf("%s is set, but %s (hint: remove it)", place, o.reason)
	case o.meaning == bootstrap && onCommandLine:
		return fmt.Errorf("%s is on etcd's command line, where a recovery cannot change it (hint: move it to the unit's EnvironmentFile=, as a variable)", place)
	}
	switch name {
	case "name":
		s.name = value
	case "data-dir":
		s.dataDir = value
	case "wal-dir":
		s.walDir = value
	}
	return nil
}

// setVariables applies the variables of an environment.
func (s *settings) setVariables(environment map[string]string) error {
	for _, variable := range slices.Sorted(maps.Keys(environment)) {
		suffix, ok := strings.CutPrefix(variable, "ETCD_")
		if !ok || suffix == "UNSUPPORTED_ARCH" || environment[variable] == "" {
			continue // etcd treats an empty variable like one that is not set
		}
		name := strings.ToLower(strings.ReplaceAll(suffix, "_", "-"))
		if err := s.set(name, environment[variable], variable, false); err != nil {
			return err
		}
	}
	return nil
}

// setFlags applies the words of a command line.
func (s *settings) setFlags(words []string) error {
	for len(words) > 0 {
		word := words[0]
		words = words[1:]
		flag := strings.TrimPrefix(strings.TrimPrefix(word, "-"), "-")
		if flag == word || flag == "" {
			return fmt.Errorf("%q on etcd's command line is not a flag (hint: the unit must run a member, with flags and variables alone)", word)
		}
		name, value, given := strings.Cut(flag, "=")
		switch o, known := lookUp(name); {
		case given || !known:
		case o.boolean:
			value = "true"
		case len(words) == 0:
			return fmt.Errorf("--%s on etcd's command line has no value", name)
		default:
			value, words = words[0], words[1:]
		}
		if err := s.set(name, value, "--"+name, true); err != nil {
			return err
		}
	}
	return nil
}
