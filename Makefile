# Build results go to dist/. The version of a build comes from git; see deploy/README.md.
.DEFAULT_GOAL := help
.PHONY: help build profile cross stores test lint race fuzz mutants bench siege vuln ci deb check-deb check-systemd check-container check-image release check-release clean

# Linters are not part of the product: their version is pinned here and not in go.mod.
GOLANGCI_LINT := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.12.2

help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 18

build: ## Build the program: dist/etcd-tlsproxy, static, the same bytes in every folder
	deploy/build.sh dist/etcd-tlsproxy

cross: ## Build the operator's verbs for other systems: each of SYSTEMS (linux/arm64 darwin/arm64)
	set -e; for system in $(or $(SYSTEMS),linux/arm64 darwin/arm64); do \
		CGO_ENABLED=0 GOOS=$${system%/*} GOARCH=$${system#*/} go build -o /dev/null ./cmd/etcd-tlsproxy; \
	done

stores: ## Build etcd 3.6 and 3.7 for the tests: dist/etcd36 and dist/etcd37, with their etcdutl36 and etcdutl37
	set -e; for version in 36 37; do \
		(cd proxy/proxytest/etcd$$version && go build -trimpath -o "$(CURDIR)/dist/etcd$$version" . && \
			go build -trimpath -o "$(CURDIR)/dist/etcdutl$$version" go.etcd.io/etcd/etcdutl/v3); \
	done

test: ## Run the tests against a real etcd; needs only Go
	go test ./... ./.ci/mutants ./.ci/seeded

# Each checkout has a cache of its own: in a shared one, findings of a file carry the path of the checkout that was looked
# at first, and comments that suppress them are not found if that is gone.
lint: ## Run the linters of .golangci.yml, and check that each go.mod is tidy
	set -e; for module in . proxy/proxytest/etcd36 proxy/proxytest/etcd37; do (cd $$module && go mod tidy -diff); done
	GOLANGCI_LINT_CACHE=$(CURDIR)/dist/golangci-lint go run $(GOLANGCI_LINT) run ./... ./.ci/mutants ./.ci/seeded

# Tests of these packages mostly wait for an etcd within the test, which the race detector makes ten times slower where
# passwords are hashed. .ci/long runs them.
RACE_SLOW = cmd/etcd-tlsproxy/internal/(migration|recovery)
race: ## Run shortened tests with the race detector; needs a C compiler
	$(or $(GOTEST),go test) -race -short -timeout 10m $(if $(GOTEST),--) \
		$$(go list ./acl ./certs ./proxy/... ./cmd/... | grep -vE '/$(RACE_SLOW)$$')

fuzz: ## Run each fuzz target for FUZZTIME (10s); FUZZ=pattern selects targets
	FUZZTIME="$(FUZZTIME)" .ci/fuzz $(FUZZ)

mutants: ## Report small changes of a package that its tests do not notice: PKG=./acl SEED=1 N=60
	@test -n "$(PKG)" || { echo 'PKG is empty: name a package, such as make mutants PKG=./acl' >&2; exit 2; }
	go run ./.ci/mutants -seed $(or $(SEED),1) -n $(or $(N),60) $(PKG)

bench: build ## Run a short benchmark; BENCH='--rounds 7' and other flags of cmd/etcd-tlsproxy-bench replace it
	go run ./cmd/etcd-tlsproxy-bench $(or $(BENCH),--quick --proxy dist/etcd-tlsproxy)

# The profile stays useful while the code changes: what is not found in it is compiled as usual. -trimpath keeps the paths
# of this machine out of it.
profile: ## Measure which functions are busy, for which a release is optimized: deploy/profile.pgo
	rm -rf dist/profiles
	GOFLAGS=-trimpath go run ./cmd/etcd-tlsproxy-bench --profiles dist/profiles --only ours --rounds 1 --duration 8s \
		--scenarios get-null,put-null,get-500-keys,get-tree,handshake-full,rules,v3-get-500-keys,v3-get-tree,v3-get-quorum,v3-put
	go tool pprof -proto dist/profiles/*.pprof >deploy/profile.pgo

siege: ## Attack the proxy in every way known; SIEGE='--attacks ^3/' and other flags of cmd/etcd-tlsproxy-siege replace it
	go run ./cmd/etcd-tlsproxy-siege $(or $(SIEGE),--quick)

vuln: ## Check for known vulnerabilities; fails with 3 if the database cannot be reached
	.ci/vuln

ci: ## Run all that continuous integration runs, about 25 minutes; needs root and a clean checkout
	.ci/run

deb: build ## Build the Debian package; needs debhelper and dpkg-dev
	rm -f dist/*.deb dist/*.changes dist/*.buildinfo
	deploy/deb.sh dist/etcd-tlsproxy dist

check-deb: deb ## Install, start, upgrade and purge the package in a booted Debian; needs root, lintian, systemd-container, mmdebstrap
	deploy/check-deb.sh dist/*.deb

check-systemd: ## Check the units and the shell scripts; needs systemd and shellcheck
	deploy/check-systemd.sh

check-container: build ## Check the content of the image and compose.yaml; needs root, docker-compose and etcd-server
	deploy/check-container.sh dist/etcd-tlsproxy

check-image: ## Build the image with buildah and run it; needs root, buildah, mmdebstrap, etcd-server, jq
	deploy/check-image.sh

release: ## Build program, package, SBOM and checksums, twice in different folders, and compare the bytes
	deploy/release.sh dist/release

check-release: ## Build a release from a tag in a clone, and check versions and files; needs what deb needs
	deploy/check-release.sh

clean: ## Remove dist/
	rm -rf dist
