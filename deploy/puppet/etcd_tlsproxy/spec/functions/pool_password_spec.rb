# frozen_string_literal: true

describe 'etcd_tlsproxy::pool_password' do
  it 'derives the same password as the clients' do
    secret = RSpec::Puppet::Sensitive
    # printf 'sown|||eqiad-testserver' | openssl dgst -sha256 -binary | base64 | cut -c1-21
    is_expected.to run.with_params('eqiad-testserver', secret.new('sown')).and_return(secret.new('uPFl4LRnx30JxqK0q4rV0'))
  end
end
