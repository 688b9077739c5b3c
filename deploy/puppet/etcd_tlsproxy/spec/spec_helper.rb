# frozen_string_literal: true

require 'rspec-puppet'

RSpec.configure do |c|
  # Both modules are in one folder, like in the tree of a site.
  c.module_path = File.expand_path('../..', __dir__)
  c.setup_fixtures = false
  c.strict_variables = true
  c.default_facts = {
    'domain' => 'example.org', 'fqdn' => 'conf1001.example.org',
    'networking' => { 'domain' => 'example.org', 'fqdn' => 'conf1001.example.org' }
  }
end
