# frozen_string_literal: true

require 'digest/sha2'

# Derives the password of a pool's user from the seed that all of them share, as those
# who log in as such a user derive it: 21 characters of the digest in base64.
Puppet::Functions.create_function(:'etcd_tlsproxy::pool_password') do
  # @param pool the data centre and the cluster, joined by a dash
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
