# frozen_string_literal: true

require 'digest/sha2'

# Derives the password of the user of a pool from the seed that all pools share: 21 characters
# of the digest in base64. The clients that log in as this user derive it in the same way.
Puppet::Functions.create_function(:'etcd_tlsproxy::pool_password') do
  # @param pool the data center and the cluster, joined by a hyphen
  # @param seed the secret
  dispatch :derive do
    param 'String[1]', :pool
    param 'Sensitive[String[1]]', :seed
    return_type 'Sensitive[String[1]]'
  end

  def derive(pool, seed)
    text = Digest::SHA256.base64digest("#{seed.unwrap}|||#{pool}")[0..20]
    Puppet::Pops::Types::PSensitiveType::Sensitive.new(text)
  end
end
