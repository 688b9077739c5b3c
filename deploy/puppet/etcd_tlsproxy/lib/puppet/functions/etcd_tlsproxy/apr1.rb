# frozen_string_literal: true

require 'digest/md5'

# Hashes a password like `openssl passwd -apr1`. The salt is a parameter, so that a file of
# hashes changes only when a password changes.
Puppet::Functions.create_function(:'etcd_tlsproxy::apr1') do
  # @param password the password
  # @param salt 1 to 8 characters
  # @return the hash in the form that follows the colon in a htpasswd file
  dispatch :hash_password do
    param 'Sensitive[String[1]]', :password
    param 'Etcd_tlsproxy::Salt', :salt
    return_type 'Sensitive[String[1]]'
  end

  def hash_password(password, salt)
    word = password.unwrap.b
    digest = Digest::MD5.digest(first_input(word, salt))
    1000.times { |round| digest = Digest::MD5.digest(round_input(round, digest, word, salt)) }
    Puppet::Pops::Types::PSensitiveType::Sensitive.new("$apr1$#{salt}$#{encode(digest.bytes)}")
  end

  def first_input(word, salt)
    mixed = Digest::MD5.digest(word + salt + word)
    input = "#{word}$apr1$#{salt}".b
    input << (mixed * (word.bytesize / 16 + 1)).byteslice(0, word.bytesize)
    rest = word.bytesize
    while rest.positive?
      input << (rest.odd? ? "\0" : word.byteslice(0, 1))
      rest >>= 1
    end
    input
  end

  def round_input(round, digest, word, salt)
    input = (round.odd? ? word : digest).dup
    input << salt unless (round % 3).zero?
    input << word unless (round % 7).zero?
    input << (round.odd? ? digest : word)
  end

  # The order of bytes and the alphabet are those of the algorithm, with six bits a character.
  def encode(bytes)
    groups = [[0, 6, 12], [1, 7, 13], [2, 8, 14], [3, 9, 15], [4, 10, 5]]
    text = groups.map { |a, b, c| six_bits(bytes[a] << 16 | bytes[b] << 8 | bytes[c], 4) }.join
    text + six_bits(bytes[11], 2)
  end

  def six_bits(number, characters)
    alphabet = './0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
    Array.new(characters) { |i| alphabet[number >> (6 * i) & 63] }.join
  end
end
