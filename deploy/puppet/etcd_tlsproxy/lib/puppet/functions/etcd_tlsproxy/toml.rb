# frozen_string_literal: true

require 'json'

# Formats a value as TOML. A hash becomes an inline table.
Puppet::Functions.create_function(:'etcd_tlsproxy::toml') do
  dispatch :write do
    param 'Variant[Boolean, Integer, String, Array, Hash]', :value
    return_type 'String'
  end

  def write(value)
    case value
    when Hash then "{ #{value.map { |key, item| "#{write(key)} = #{write(item)}" }.join(', ')} }"
    when Array then "[#{value.map { |item| write(item) }.join(', ')}]"
    when String then quote(value)
    else value.to_s
    end
  end

  # A JSON string is also a TOML string, except for DEL, which JSON does not escape.
  def quote(text)
    JSON.generate(text).gsub("\u007f") { '\u007F' }
  end
end
