"""What is known of providers and models outside this program: the prices that the genai-prices package ships."""
