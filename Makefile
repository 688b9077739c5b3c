# What is built goes to dist/. Versions come from git: see deploy/README.md.
.DEFAULT_GOAL := help
.PHONY: help build test deb check-deb check-systemd check-container release check-release clean

help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 18

build: ## Build the program: dist/etcd-tlsproxy, static, the same bytes in any folder
	deploy/build.sh dist/etcd-tlsproxy

test: ## Run the tests against a real etcd; needs nothing but Go
	go test ./...

deb: build ## Build the Debian package; needs debhelper and dpkg-dev
	rm -f dist/*.deb dist/*.changes dist/*.buildinfo
	deploy/deb.sh dist/etcd-tlsproxy dist

check-deb: deb ## Install, start, upgrade and purge it in a booted Debian; needs root, lintian, systemd-container, mmdebstrap
	deploy/check-deb.sh dist/*.deb

check-systemd: ## Check the units and the shell scripts; needs systemd and shellcheck
	deploy/check-systemd.sh

check-container: build ## Check the image's content and compose.yaml; needs root, docker-compose and etcd-server
	deploy/check-container.sh dist/etcd-tlsproxy

release: ## Build program, package, SBOM and checksums, twice in different folders, and compare their bytes
	deploy/release.sh dist/release

check-release: ## Build a release from a tag in a clone and check versions and files; needs what deb needs
	deploy/check-release.sh

clean: ## Remove dist/
	rm -rf dist
